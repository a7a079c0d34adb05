//! Adds a severity by the action, and a flag where nobody is named.
#![no_std]
#[path = "../../../sdk/rust/auditrelay.rs"]
mod auditrelay;
use auditrelay::*;

guest! {
    paths { ACTION = "action", CHANGED_BY = "changed_by" }
    event {
        let high = ACTION.is("deleted") || ACTION.is("blocked") || ACTION.is("rotated");
        ROOT.put("severity", if high { b"\"high\"" } else { b"\"low\"" });
        if CHANGED_BY.is("") {
            ROOT.put("anonymous", b"true");
        }
        Verdict::Keep
    }
}
