//! Where downloads and clusters are kept.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::command::{server_uid, uid};
use crate::testing::error::{ClusterError, at};

/// Memory that a file system must have free to hold the clusters of tests.
const ROOM_IN_MEMORY: u64 = 1 << 30;

/// Returns where downloads and lasting clusters are kept: outside of root's home, which the user of
/// the server could not enter.
pub(crate) fn cache() -> Result<PathBuf, ClusterError> {
    if uid() == 0 {
        return open_to_all(Path::new("/var/cache/taskq"));
    }
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    if let Some(cache) = home.and_then(|home| made(&home.join("taskq"), 0o700).ok()) {
        return Ok(cache);
    }
    owned(&std::env::temp_dir().join(format!("taskq-{}", uid())))
}

/// Returns where clusters are kept that end with their users: in memory, where there is room.
pub(crate) fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let room = rustix::fs::statvfs(&memory).map(|system| system.f_bavail * system.f_frsize);
    match room {
        Ok(room) if room >= ROOM_IN_MEMORY => memory,
        _ => std::env::temp_dir(),
    }
}

/// Makes a directory for the server, which nobody else but root may enter. Root may: it runs the
/// clients of a server that runs as another.
pub(crate) fn owned(path: &Path) -> Result<PathBuf, ClusterError> {
    made(path, 0o700)?;
    if uid() == 0 {
        at(path, chown(path, Some(server_uid()), Some(server_uid())))?;
    }
    let owner = at(path, fs::symlink_metadata(path))?;
    if owner.is_dir() && owner.uid() == server_uid() {
        Ok(path.to_owned())
    } else {
        // In a directory that all may write to, somebody else was there first.
        at(path, Err(std::io::ErrorKind::PermissionDenied.into()))
    }
}

/// Makes a directory that the user of the server may enter, whatever root's umask is.
fn open_to_all(path: &Path) -> Result<PathBuf, ClusterError> {
    made(path, 0o755)?;
    at(
        path,
        fs::set_permissions(path, Permissions::from_mode(0o755)),
    )?;
    Ok(path.to_owned())
}

fn made(path: &Path, mode: u32) -> Result<PathBuf, ClusterError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    at(path, made).map(|()| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_an_umask_has_closed_is_opened_to_the_server() {
        let name = format!("taskq-open-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        made(&path, 0o700).expect("made, as an umask of 077 would have it");
        open_to_all(&path).expect("opened");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        fs::remove_dir(&path).expect("removed");
        assert_eq!(mode & 0o777, 0o755);
    }
}
