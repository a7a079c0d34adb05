//! Masks what looks like a key wherever it stands, and alerts about it.
#![no_std]
#[path = "../../../sdk/rust/auditrelay.rs"]
mod auditrelay;
use auditrelay::*;

guest! {
    paths { ALL = "**" }
    regexes { KEY = "sk-[A-Za-z0-9]{8,}" }
    event {
        let mut found = false;
        let mut n = ALL.each(NONE);
        while n.exists() {
            // Text that holds JSON is gone through; only the leaf in it is masked.
            if n.kind() == Kind::String && !n.child(NONE).exists() && n.matches(&KEY) {
                n.mask();
                found = true;
            }
            n = ALL.each(n);
        }
        if found {
            emit(b"alerts", br#"{"alert":"a key was found"}"#);
        }
        Verdict::Keep
    }
}
