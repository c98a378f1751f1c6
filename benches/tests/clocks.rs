//! The clocks of a run. Alone in its process, whose CPU time it looks at.

use std::time::Duration;

use benches::measure::Clocks;

#[test]
fn cpu_time_counts_work_and_not_sleep() {
    let clocks = Clocks::start();
    std::thread::sleep(Duration::from_millis(200));
    let asleep = clocks.report("send", 0);
    assert!(asleep.secs >= 0.2 && asleep.cpu < 0.1, "{asleep:?}");
    while clocks.report("send", 0).cpu < 0.05 {
        std::hint::black_box(0);
    }
    assert!(clocks.report("send", 0).secs >= asleep.secs + 0.04);
}
