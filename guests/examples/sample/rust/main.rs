//! Keeps one in ten updates, by the event's place in the journal, and everything else.
#![no_std]
#[path = "../../../sdk/rust/auditrelay.rs"]
mod auditrelay;
use auditrelay::*;

guest! {
    paths { ACTION = "action" }
    event {
        if ACTION.is("updated") && sequence() % 10 != 0 {
            reason("not in the sample");
            return Verdict::Drop;
        }
        Verdict::Keep
    }
}
