//! Keeping apt from starting the services it installs.

use std::fs;
use std::path::{Path, PathBuf};

/// Debian asks `policy-rc.d` before it starts a service; 101 means no. While this value lives the answer is 101; then
/// what stood there before stands there again.
#[derive(Debug)]
pub(super) struct ServicesOff {
    policy: PathBuf,
    saved: PathBuf,
}

const ANSWER_NO: &str = "#!/bin/sh\nexit 101\n";

impl ServicesOff {
    /// Puts our answer at `policy`. What stood there is beside it meanwhile, and is put back first if we were killed the
    /// last time.
    pub(super) fn hold(policy: &Path) -> Result<Self, String> {
        let held = Self { policy: policy.to_path_buf(), saved: policy.with_extension("d.postroad-saved") };
        let fault = |error: std::io::Error| format!("{}: {error}", policy.display());
        if !held.saved.exists() && policy.exists() && fs::read_to_string(policy).is_ok_and(|text| text != ANSWER_NO) {
            fs::rename(policy, &held.saved).map_err(fault)?;
        }
        // From here on a failure restores, by drop.
        fs::write(policy, ANSWER_NO).map_err(fault)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).map_err(fault)?;
        }
        Ok(held)
    }
}

impl Drop for ServicesOff {
    fn drop(&mut self) {
        let restored =
            if self.saved.exists() { fs::rename(&self.saved, &self.policy) } else { fs::remove_file(&self.policy) };
        if let Err(error) = restored {
            eprintln!("{}: {error}", self.policy.display());
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn policy() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("policy-rc.d");
        (folder, path)
    }

    #[test]
    fn absent_policy_is_absent_again() {
        let (_folder, path) = policy();
        let held = ServicesOff::hold(&path).expect("held");
        assert_eq!(fs::read_to_string(&path).expect("a file"), ANSWER_NO);
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o755);
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn other_policy_comes_back_as_it_was() {
        let (_folder, path) = policy();
        fs::write(&path, "#!/bin/sh\nexit 0\n").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("permissions");
        let held = ServicesOff::hold(&path).expect("held");
        assert_eq!(fs::read_to_string(&path).expect("a file"), ANSWER_NO);
        drop(held);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "#!/bin/sh\nexit 0\n");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(), 1);
    }

    #[test]
    fn policy_saved_by_a_killed_run_comes_back() {
        let (_folder, path) = policy();
        fs::write(&path, "#!/bin/sh\nexit 0\n").expect("a file");
        std::mem::forget(ServicesOff::hold(&path).expect("held"));
        drop(ServicesOff::hold(&path).expect("held again"));
        assert_eq!(fs::read_to_string(&path).expect("a file"), "#!/bin/sh\nexit 0\n");
    }
}
