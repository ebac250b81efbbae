//! Ids that the machine's administrator has set aside for a user: subuid(5) and subgid(5).
//!
//! The files are read; `getsubids`, which upstream runs, would also ask directory services.

use std::path::Path;

use node::user_namespaces::IdRange;
use seams::HostError;

use crate::files;

/// Ranges of user ids and of group ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubordinateIds {
    /// Of `etc/subuid`.
    pub uids: Vec<IdRange>,
    /// Of `etc/subgid`.
    pub gids: Vec<IdRange>,
}

/// What is set aside for a user, by its name or its number; `None` when the machine has no such user, or nothing for it.
///
/// # Errors
/// [`HostError`] when a file that is there cannot be read.
pub fn of_user(root: &Path, name: &str) -> Result<Option<SubordinateIds>, HostError> {
    let etc = root.join("etc");
    let Some(users) = files::read_if_there(&etc.join("passwd"))? else { return Ok(None) };
    // name:password:uid:…
    let mut lines = users.lines().map(|line| line.split(':'));
    let uid = lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.nth(1)).flatten());
    let Some(uid) = uid else { return Ok(None) };
    let ranges = |file: &str| -> Result<Vec<IdRange>, HostError> {
        let text = files::read_if_there(&etc.join(file))?.unwrap_or_default();
        Ok(text.lines().filter_map(|line| range(line, name, uid)).collect())
    };
    let ids = SubordinateIds { uids: ranges("subuid")?, gids: ranges("subgid")? };
    Ok((ids != SubordinateIds::default()).then_some(ids))
}

/// `user:first:count`, when it is for this user.
fn range(line: &str, name: &str, uid: &str) -> Option<IdRange> {
    let mut words = line.trim().split(':');
    let user = words.next()?;
    let (first, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (user == name || user == uid).then_some(IdRange { first, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        for (name, text) in files {
            std::fs::write(root.path().join("etc").join(name), text).unwrap();
        }
        root
    }

    const USERS: (&str, &str) = ("passwd", "root:x:0:0::/:/bin/sh\nkubelet:x:997:997::/:/sbin/nologin\n");

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let root = machine(&[
            USERS,
            ("subuid", "me:100000:65536\nkubelet:65536:7208960\nbroken\n"),
            ("subgid", "997:65536:7208960\n"),
        ]);
        let range = IdRange { first: 65536, count: 7_208_960 };
        let ids = SubordinateIds { uids: vec![range], gids: vec![range] };
        assert_eq!(of_user(root.path(), "kubelet").unwrap(), Some(ids));
    }

    #[test]
    fn without_user_or_ranges_there_are_none() {
        let no_user = machine(&[("passwd", "root:x:0:0::/:/bin/sh"), ("subuid", "kubelet:65536:65536")]);
        let no_range = machine(&[USERS, ("subuid", "me:65536:65536")]);
        for root in [no_user, no_range, machine(&[])] {
            assert_eq!(of_user(root.path(), "kubelet").unwrap(), None);
        }
    }
}
