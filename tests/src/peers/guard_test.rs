use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::package;

#[test]
fn the_guard_kills_the_whole_group_and_removes_its_directory() {
    let dir = tempfile::tempdir().unwrap().keep();
    let ids = dir.join("ids");
    let mut guard = Command::new(package("peers/guard.sh"))
        .arg(&dir)
        .args(["sh", "-c", r#"sleep 300 & echo "$$ $!" > "$0"; wait"#])
        .arg(&ids)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let started = Instant::now();
    let ids = loop {
        match fs::read_to_string(&ids) {
            Ok(text) if text.ends_with('\n') => break text,
            _ => assert!(started.elapsed() < Duration::from_secs(10), "the guarded command did not start"),
        }
        thread::sleep(Duration::from_millis(10));
    };
    let alive = || ids.split_whitespace().filter(|id| fs::metadata(format!("/proc/{id}")).is_ok()).count();
    assert_eq!(alive(), 2);
    drop(guard.stdin.take());
    assert!(guard.wait().unwrap().success());
    assert!(!dir.exists());
    while alive() > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "still there: {ids}");
        thread::sleep(Duration::from_millis(10));
    }
}
