use tokio::sync::mpsc;

use super::*;
use crate::sources::Stamped;

#[test]
fn paths_are_cleaned_as_upstream_does() {
    for (path, clean) in [
        ("/etc/kubernetes/manifests", "/etc/kubernetes/manifests"),
        ("/etc/kubernetes/manifests/", "/etc/kubernetes/manifests"),
        ("/etc//kubernetes/./manifests", "/etc/kubernetes/manifests"),
        ("/etc/x/../kubernetes", "/etc/kubernetes"),
        ("/../etc", "/etc"),
        ("./a/b", "a/b"),
        ("../a", "../a"),
        ("a/../../b", "../b"),
    ] {
        assert_eq!(cleaned(Path::new(path)), Path::new(clean), "{path}");
    }
}

#[tokio::test]
async fn of_two_files_with_one_name_the_last_counts() {
    let folder = tempfile::tempdir().unwrap();
    let source = FileSource {
        path: folder.path().to_owned(),
        frequency: Duration::from_secs(20),
        node_name: "n".to_owned(),
    };
    let mut reader = Reader::new(source, Arc::new(seams::SystemClock::start()));
    let write = |file: &str, name: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: 'x:1'}}]}}"
        );
        std::fs::write(folder.path().join(file), text).unwrap();
    };
    let uids = |pods: &[Arc<Pod>]| -> Vec<_> { pods.iter().map(|pod| pod.metadata.uid.clone()).collect() };
    write("b.yaml", "one");
    let alone = reader.read().await.pods;
    write("a.yaml", "one");
    write("c.yaml", "two");
    let Look { pods: both, refused } = reader.read().await;
    assert_eq!(both.len(), 2);
    assert_eq!(uids(&both)[0], uids(&alone)[0], "a second file took the pod over");
    assert_eq!(refused.len(), 1);
    assert_eq!(reader.read().await.refused.len(), 0, "told once");
    std::fs::remove_file(folder.path().join("b.yaml")).unwrap();
    let Look { pods: other, refused: none } = reader.read().await;
    assert_eq!((other.len(), none.len()), (2, 0));
    assert_ne!(uids(&other)[0], uids(&alone)[0]);
    assert_eq!(uids(&other)[0], uids(&refused)[0], "the one that was left out");
}

const MANIFEST: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: 'x:1'}]}";

/// Starts the source; it looks often.
fn start(path: &Path) -> mpsc::Receiver<Stamped> {
    let frequency = Duration::from_millis(20);
    let source = FileSource { path: path.to_owned(), frequency, node_name: "n".to_owned() };
    let clock: Arc<dyn Clock> = Arc::new(seams::SystemClock::start());
    let (updates, receiver) = Updates::channel(Arc::clone(&clock), 1);
    tokio::spawn(run(source, clock, updates));
    receiver
}

/// How many pods the next update has.
async fn pods(receiver: &mut mpsc::Receiver<Stamped>) -> usize {
    let update = tokio::time::timeout(Duration::from_secs(20), receiver.recv()).await;
    let SourceUpdate::Set(_, pods) = update.unwrap().unwrap().update else { panic!("refused") };
    pods.len()
}

/// The source has looked, and has said nothing.
async fn is_silent(receiver: &mut mpsc::Receiver<Stamped>) -> bool {
    tokio::time::timeout(Duration::from_millis(300), receiver.recv()).await.is_err()
}

#[tokio::test]
async fn nothing_is_delivered_of_a_path_that_cannot_be_read_yet() {
    let folder = tempfile::tempdir().unwrap();
    let (above, new) = (folder.path().join("etc"), folder.path().join("new"));
    std::fs::write(folder.path().join("file"), "").unwrap();
    std::fs::create_dir_all(folder.path().join("made/manifests")).unwrap();
    std::fs::write(folder.path().join("made/manifests/a.yaml"), MANIFEST).unwrap();
    // Below a file there is nothing that could be missing.
    std::os::unix::fs::symlink("file", &above).unwrap();
    let mut receiver = start(&above.join("manifests"));
    assert!(is_silent(&mut receiver).await);
    std::os::unix::fs::symlink("made", &new).unwrap();
    std::fs::rename(&new, &above).unwrap();
    assert_eq!(pods(&mut receiver).await, 1);
}

#[tokio::test]
async fn one_file_that_is_not_understood_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (file, new) = (folder.path().join("pod.yaml"), folder.path().join("new"));
    std::fs::write(&file, "kind: [").unwrap();
    let mut receiver = start(&file);
    assert!(is_silent(&mut receiver).await);
    std::fs::write(&new, MANIFEST).unwrap();
    std::fs::rename(&new, &file).unwrap();
    assert_eq!(pods(&mut receiver).await, 1);
    // What it described stays, as long as it is there.
    std::fs::write(&file, "kind: [").unwrap();
    for _ in 0..10 {
        assert_eq!(pods(&mut receiver).await, 1);
    }
    std::fs::remove_file(&file).unwrap();
    while pods(&mut receiver).await == 1 {}
    assert_eq!(pods(&mut receiver).await, 0);
}

#[tokio::test]
async fn a_file_that_is_not_understood_is_no_reason_to_wait_for_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "kind: [").unwrap();
    std::fs::write(folder.path().join("b.yaml"), MANIFEST).unwrap();
    assert_eq!(pods(&mut start(folder.path())).await, 1);
}

#[tokio::test]
async fn a_path_that_comes_goes_and_comes_again_is_looked_at_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifests");
    let source =
        FileSource { path: path.clone(), frequency: Duration::from_secs(600), node_name: "n".to_owned() };
    let clock: Arc<dyn Clock> = Arc::new(seams::SystemClock::start());
    let (updates, mut receiver) = Updates::channel(Arc::clone(&clock), 100);
    tokio::spawn(run(source, clock, updates));
    let mut looks = 0_u32;
    let mut seen = async |wanted: usize| loop {
        let update = tokio::time::timeout(Duration::from_secs(20), receiver.recv()).await;
        let SourceUpdate::Set(_, pods) = update.unwrap().unwrap().update else { panic!("refused") };
        looks += 1;
        if pods.len() == wanted {
            break;
        }
    };
    seen(0).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("a.yaml"), MANIFEST).unwrap();
        seen(1).await;
        std::fs::remove_dir_all(&path).unwrap();
        seen(0).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    while receiver.try_recv().is_ok() {
        looks += 1;
    }
    assert!(looks < 40, "{looks} looks: it spins");
}
