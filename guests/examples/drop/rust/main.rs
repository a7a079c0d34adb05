//! Drops events about the tables that its configuration lists.
#![no_std]
#[path = "../../../sdk/rust/auditrelay.rs"]
mod auditrelay;
use auditrelay::*;

guest! {
    paths { TABLE = "table_name", TABLES = "tables.*" }
    event {
        let mut name = [0u8; 256];
        let mut n = TABLES.find_config();
        while n.exists() {
            if let Some(listed) = n.string(&mut name) {
                if TABLE.is_bytes(listed) {
                    reason("its table is configured to be dropped");
                    return Verdict::Drop;
                }
            }
            n = TABLES.each(n);
        }
        Verdict::Keep
    }
}
