//! Whether the time is right, as far as that can be known here. Tokens, certificates and records of presence depend on it.

use std::{process::Command, time::Duration};

use polyport_core::Millis;

use super::Finding;

/// How far another clock may differ: tokens are taken with a leeway of this order, and answers take their time.
const TOLERANCE: Duration = Duration::from_secs(30);

const ADVICE: &str = "switch time synchronisation on (timedatectl set-ntp true, or chrony), on whichever machine is wrong";

/// What the system says of its clock.
pub(super) fn check() -> Finding {
    let subject = "clock";
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .output();
    let answer = asked.ok().filter(|asked| asked.status.success());
    match answer.as_ref().map(|answer| answer.stdout.trim_ascii()) {
        Some(b"yes") => Finding::good(subject, "synchronised"),
        Some(b"no") => Finding::wrong(subject, "it is not synchronised with any other", ADVICE),
        _ => Finding::note(
            subject,
            "whether it is synchronised cannot be told here: timedatectl does not say so",
        ),
    }
}

/// What another clock says, if it is far from ours.
pub(super) fn compare(subject: &str, other: Duration) -> Option<Finding> {
    let apart = Duration::from_millis(Millis::now().0).abs_diff(other);
    (apart > TOLERANCE).then(|| {
        let text = format!("its clock and the one here are {} s apart", apart.as_secs());
        Finding::wrong(subject, text, ADVICE)
    })
}
