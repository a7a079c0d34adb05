//! Hands a copy of what was deleted or blocked to the callback that its configuration names.
#![no_std]
#[path = "../../../sdk/rust/auditrelay.rs"]
mod auditrelay;
use auditrelay::*;

guest! {
    paths { ACTION = "action", TARGET = "to" }
    event {
        if ACTION.is("deleted") || ACTION.is("blocked") {
            let mut name = [0u8; 64];
            let mut copy = [0u8; 32 * 1024];
            match (TARGET.find_config().string(&mut name), event_copy(&mut copy)) {
                (Some(to), Some(event)) => emit(to, event),
                _ => fail("no callback is configured, or the event is too large to be handed on"),
            }
        }
        Verdict::Keep
    }
}

fn event_copy(buf: &mut [u8]) -> Option<&[u8]> { auditrelay::event(buf) }
