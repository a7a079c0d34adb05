//! @NAME@ is a guest of auditrelay. It masks what goes by a secret's name, wherever
//! it stands, and drops what was merely created.
#![no_std]
mod auditrelay;
use auditrelay::*;

guest! {
    paths { ACTION = "action", SECRETS = "**.~password" }
    event {
        if ACTION.is("created") {
            reason("nothing but a creation");
            return Verdict::Drop;
        }
        SECRETS.mask_all();
        Verdict::Keep
    }
}
