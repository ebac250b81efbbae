//! What is in the images.

use super::{
    BUSYBOX, PAUSE, TESTBOX, TESTBOX_2, TESTBOX_NAMED_USER, TESTBOX_USER_1000, compile::Busybox, oci::Image,
    tar::Entry,
};

/// Where programs are found; the usual default of base images.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Accounts: root, an ordinary one (1000), one whose name images use as `USER` (1001), nobody.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      user:x:1000:1000::/home/user:/bin/sh\n\
                      tester:x:1001:1001::/home/tester:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";

/// Groups; `extra` (2000) has `tester` and `user` as members, for `supplementalGroupsPolicy`.
const GROUP: &str = "root:x:0:\nuser:x:1000:\ntester:x:1001:\nextra:x:2000:user,tester\nnogroup:x:65534:\n";

/// Every image of the lab.
pub(super) fn images(pause: Vec<u8>, busybox: Busybox, testbox: Vec<u8>) -> Vec<Image> {
    let busybox_layer = busybox_files(busybox);
    let mut testbox_layer = base_files();
    testbox_layer.push(Entry::file("testbox", testbox).mode(0o755));
    let testbox = |reference, version: &str, user| Image {
        reference,
        layers: vec![testbox_layer.clone()],
        entrypoint: vec!["/testbox"],
        command: vec!["serve"],
        environment: vec![PATH.to_owned(), format!("TESTBOX_VERSION={version}")],
        user,
        labels: vec![("test.testbox.version", version.to_owned())],
    };
    let mut second = testbox(TESTBOX_2, "2", "");
    second.layers.push(vec![Entry::file("etc/testbox-version", "2\n")]);
    vec![
        Image {
            reference: PAUSE,
            layers: vec![vec![Entry::file("pause", pause).mode(0o755)]],
            entrypoint: vec!["/pause"],
            command: vec![],
            environment: vec![PATH.to_owned()],
            // As upstream's pause image: nobody, so that a sandbox never runs as root.
            user: "65535:65535",
            labels: vec![],
        },
        Image {
            reference: BUSYBOX,
            layers: vec![busybox_layer],
            entrypoint: vec![],
            command: vec!["sh"],
            environment: vec![PATH.to_owned()],
            user: "",
            labels: vec![],
        },
        testbox(TESTBOX, "1", ""),
        second,
        testbox(TESTBOX_USER_1000, "1", "1000"),
        testbox(TESTBOX_NAMED_USER, "1", "tester"),
    ]
}

/// Folders and files that both bases share. Mount points (`proc`, `sys`, `dev`) are the runtime's matter.
fn base_files() -> Vec<Entry> {
    vec![
        Entry::folder("etc"),
        Entry::file("etc/passwd", PASSWD),
        Entry::file("etc/group", GROUP),
        Entry::file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        Entry::folder("home"),
        Entry::folder("home/user").owner(1000),
        Entry::folder("home/tester").owner(1001),
        Entry::folder("root").mode(0o700),
        Entry::folder("tmp").mode(0o1777),
        Entry::folder("usr"),
        Entry::folder("usr/bin"),
        Entry::folder("var"),
        Entry::folder("var/tmp").mode(0o1777),
    ]
}

fn busybox_files(busybox: Busybox) -> Vec<Entry> {
    let mut entries = base_files();
    entries.push(Entry::folder("bin"));
    entries.push(Entry::file("bin/busybox", busybox.program).mode(0o755));
    for applet in busybox.applets {
        entries.push(Entry::link(&format!("bin/{applet}"), "busybox"));
    }
    // Scripts name it by this path.
    entries.push(Entry::link("usr/bin/env", "../../bin/busybox"));
    entries
}
