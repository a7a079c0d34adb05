//! The Rust SDK for guests of the audit event relay: one file, no crates, no
//! standard library. A guest names its paths and says what becomes of an event:
//!
//! ```ignore
//! #![no_std]
//! mod auditrelay;
//! use auditrelay::*;
//!
//! auditrelay::guest! {
//!     paths { SECRETS = "**.~password" }
//!     event { SECRETS.delete_all(); Verdict::Keep }
//! }
//! ```
//!
//! Build it as a module with an exported memory and a small stack:
//!
//! ```sh
//! rustc --edition 2021 --target wasm32-unknown-unknown --crate-type cdylib -C opt-level=3 -C panic=abort \
//!     -C link-arg=-zstack-size=65536 -C strip=symbols -o guest.wasm main.rs
//! ```
//!
//! Nodes are valid until the event's function returns. Functions that are given
//! something too long or not granted end the event as a failure, so there is
//! nothing to check: what an editing function returns is how much it changed.
#![allow(dead_code)]

use core::cell::Cell;

mod host {
    #[link(wasm_import_module = "auditrelay_v1")]
    extern "C" {
        pub fn path(ptr: *const u8, len: usize) -> i32;
        pub fn regex(ptr: *const u8, len: usize) -> i32;
        pub fn detector(ptr: *const u8, len: usize) -> i32;
        pub fn detects(node: i32, d: i32) -> i32;
        pub fn partial(node: i32, n: i32) -> i32;
        pub fn partial_all(p: i32, n: i32) -> i32;
        pub fn redact_matches(node: i32, h: i32, operation: i32) -> i32;
        pub fn redact_matches_all(p: i32, h: i32, operation: i32) -> i32;
        pub fn find(p: i32) -> i32;
        pub fn each(p: i32, previous: i32) -> i32;
        pub fn child(node: i32, previous: i32) -> i32;
        pub fn length(node: i32) -> i32;
        pub fn kind(node: i32) -> i32;
        pub fn key(node: i32, buf: *mut u8, cap: usize) -> i32;
        pub fn get(node: i32, buf: *mut u8, cap: usize) -> i32;
        pub fn get_string(node: i32, buf: *mut u8, cap: usize) -> i32;
        pub fn is(p: i32, ptr: *const u8, len: usize) -> i32;
        pub fn matches(node: i32, r: i32) -> i32;
        pub fn query(ptr: *const u8, len: usize, buf: *mut u8, cap: usize) -> i32;
        pub fn set_json(node: i32, ptr: *const u8, len: usize) -> i32;
        pub fn set_string(node: i32, ptr: *const u8, len: usize) -> i32;
        pub fn put(parent: i32, key: *const u8, key_len: usize, ptr: *const u8, len: usize) -> i32;
        pub fn delete(node: i32) -> i32;
        pub fn mask(node: i32) -> i32;
        pub fn truncate(node: i32, n: i32) -> i32;
        pub fn hmac(node: i32, key: *const u8, key_len: usize) -> i32;
        pub fn set_json_all(p: i32, ptr: *const u8, len: usize) -> i32;
        pub fn set_string_all(p: i32, ptr: *const u8, len: usize) -> i32;
        pub fn delete_all(p: i32) -> i32;
        pub fn mask_all(p: i32) -> i32;
        pub fn truncate_all(p: i32, n: i32) -> i32;
        pub fn hmac_all(p: i32, key: *const u8, key_len: usize) -> i32;
        pub fn event_len() -> i32;
        pub fn event_read(buf: *mut u8, cap: usize) -> i32;
        pub fn event_replace(ptr: *const u8, len: usize) -> i32;
        pub fn emit(name: *const u8, name_len: usize, ptr: *const u8, len: usize) -> i32;
        pub fn reason(ptr: *const u8, len: usize) -> i32;
        pub fn config(buf: *mut u8, cap: usize) -> i32;
        pub fn config_find(p: i32) -> i32;
        pub fn sequence() -> i64;
        pub fn received() -> i64;
        pub fn log(level: i32, ptr: *const u8, len: usize) -> i32;
        pub fn count(name: *const u8, name_len: usize, n: u32) -> i32;
        pub fn fail(ptr: *const u8, len: usize) -> !;
        pub fn has(name: *const u8, name_len: usize) -> i32;
    }
}

/// The decision on one event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The event goes on, with the edits made.
    Keep = 1,
    /// The event ends here.
    Drop = 2,
}

/// What a node holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind { Absent, Null, Bool, Number, String, Object, Array }

/// A log line's level.
#[derive(Clone, Copy)]
pub enum Level { Debug, Info, Warn, Error }

/// A path, interned when the guest starts.
pub struct Path { text: &'static str, handle: Cell<i32> }

/// A regular expression (RE2), compiled when the guest starts.
pub struct Regex { text: &'static str, handle: Cell<i32> }

// A guest has one thread.
unsafe impl Sync for Path {}
unsafe impl Sync for Regex {}

impl Regex {
    pub const fn new(text: &'static str) -> Self { Regex { text, handle: Cell::new(0) } }
    /// Compiles the expression; at the start only.
    pub fn intern(&self) { self.handle.set(unsafe { host::regex(self.text.as_ptr(), self.text.len()) }) }
}

/// Detectors by name or group, several separated by commas.
pub struct Detector { names: &'static str, handle: Cell<i32> }
unsafe impl Sync for Detector {}

impl Detector {
    pub const fn new(names: &'static str) -> Self { Detector { names, handle: Cell::new(0) } }
    /// Selects the detectors; at the start only.
    pub fn intern(&self) { self.handle.set(unsafe { host::detector(self.names.as_ptr(), self.names.len()) }) }
}

/// What finds parts of a text: a Regex or a Detector.
pub trait Matcher { fn handle(&self) -> i32; }
impl Matcher for Regex { fn handle(&self) -> i32 { self.handle.get() } }
impl Matcher for Detector { fn handle(&self) -> i32 { self.handle.get() } }

/// What becomes of what a matcher finds.
#[derive(Clone, Copy)]
pub enum Matches { Mask = 1, Remove = 2 }

impl Path {
    pub const fn new(text: &'static str) -> Self { Path { text, handle: Cell::new(0) } }
    /// Interns the path; at the start only.
    pub fn intern(&self) { self.handle.set(unsafe { host::path(self.text.as_ptr(), self.text.len()) }) }
    fn p(&self) -> i32 { self.handle.get() }
    /// The first match, or none.
    pub fn find(&self) -> Node { Node(unsafe { host::find(self.p()) }) }
    /// The first match in the configuration, or none.
    pub fn find_config(&self) -> Node { Node(unsafe { host::config_find(self.p()) }) }
    /// The match after previous, in document order; none starts.
    pub fn each(&self, previous: Node) -> Node { Node(unsafe { host::each(self.p(), previous.0) }) }
    /// Whether the first match is a string and this one.
    pub fn is(&self, text: &str) -> bool { self.is_bytes(text.as_bytes()) }
    pub fn is_bytes(&self, text: &[u8]) -> bool { unsafe { host::is(self.p(), text.as_ptr(), text.len()) == 1 } }
    pub fn mask_all(&self) -> i32 { unsafe { host::mask_all(self.p()) } }
    pub fn delete_all(&self) -> i32 { unsafe { host::delete_all(self.p()) } }
    pub fn truncate_all(&self, n: i32) -> i32 { unsafe { host::truncate_all(self.p(), n) } }
    pub fn hmac_all(&self, key: &str) -> i32 { unsafe { host::hmac_all(self.p(), key.as_ptr(), key.len()) } }
    pub fn partial_all(&self, n: i32) -> i32 { unsafe { host::partial_all(self.p(), n) } }
    pub fn redact_matches_all(&self, m: &impl Matcher, o: Matches) -> i32 { unsafe { host::redact_matches_all(self.p(), m.handle(), o as i32) } }
    pub fn set_json_all(&self, json: &str) -> i32 { unsafe { host::set_json_all(self.p(), json.as_ptr(), json.len()) } }
    pub fn set_string_all(&self, text: &str) -> i32 { unsafe { host::set_string_all(self.p(), text.as_ptr(), text.len()) } }
}

/// One value of the event or of the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Node(i32);

/// No node.
pub const NONE: Node = Node(-1);
/// The whole event.
pub const ROOT: Node = Node(0);

impl Node {
    pub fn exists(self) -> bool { self.0 >= 0 }
    pub fn child(self, previous: Node) -> Node { Node(unsafe { host::child(self.0, previous.0) }) }
    pub fn length(self) -> i32 { unsafe { host::length(self.0) } }
    pub fn kind(self) -> Kind {
        match unsafe { host::kind(self.0) } {
            1 => Kind::Null, 2 => Kind::Bool, 3 => Kind::Number, 4 => Kind::String, 5 => Kind::Object, 6 => Kind::Array, _ => Kind::Absent,
        }
    }
    /// What the host writes to buf, or None where there is nothing or it does not fit.
    pub fn key(self, buf: &mut [u8]) -> Option<&[u8]> { filled(buf, |b, n| unsafe { host::key(self.0, b, n) }) }
    pub fn json(self, buf: &mut [u8]) -> Option<&[u8]> { filled(buf, |b, n| unsafe { host::get(self.0, b, n) }) }
    pub fn string(self, buf: &mut [u8]) -> Option<&[u8]> { filled(buf, |b, n| unsafe { host::get_string(self.0, b, n) }) }
    pub fn matches(self, r: &Regex) -> bool { unsafe { host::matches(self.0, r.handle.get()) == 1 } }
    pub fn detects(self, d: &Detector) -> bool { unsafe { host::detects(self.0, d.handle.get()) == 1 } }
    pub fn partial(self, n: i32) -> bool { unsafe { host::partial(self.0, n) == 0 } }
    pub fn redact_matches(self, m: &impl Matcher, o: Matches) -> i32 { unsafe { host::redact_matches(self.0, m.handle(), o as i32) } }
    pub fn set_json(self, json: &str) -> bool { unsafe { host::set_json(self.0, json.as_ptr(), json.len()) == 0 } }
    pub fn set_string(self, text: &str) -> bool { unsafe { host::set_string(self.0, text.as_ptr(), text.len()) == 0 } }
    pub fn put(self, key: &str, json: &[u8]) -> bool { unsafe { host::put(self.0, key.as_ptr(), key.len(), json.as_ptr(), json.len()) == 0 } }
    pub fn delete(self) -> bool { unsafe { host::delete(self.0) == 0 } }
    pub fn mask(self) -> bool { unsafe { host::mask(self.0) == 0 } }
    pub fn truncate(self, n: i32) -> bool { unsafe { host::truncate(self.0, n) == 0 } }
    pub fn hmac(self, key: &str) -> bool { unsafe { host::hmac(self.0, key.as_ptr(), key.len()) == 0 } }
}

fn filled(buf: &mut [u8], call: impl FnOnce(*mut u8, usize) -> i32) -> Option<&[u8]> {
    let n = call(buf.as_mut_ptr(), buf.len());
    if n < 0 || n as usize > buf.len() { None } else { Some(&buf[..n as usize]) }
}

/// The whole event as it stands, where it fits.
pub fn event(buf: &mut [u8]) -> Option<&[u8]> { filled(buf, |b, n| unsafe { host::event_read(b, n) }) }
pub fn event_len() -> usize { unsafe { host::event_len() as usize } }
pub fn replace_event(json: &[u8]) { unsafe { host::event_replace(json.as_ptr(), json.len()); } }
pub fn query<'a>(text: &str, buf: &'a mut [u8]) -> Option<&'a [u8]> { filled(buf, |b, n| unsafe { host::query(text.as_ptr(), text.len(), b, n) }) }
pub fn config(buf: &mut [u8]) -> Option<&[u8]> { filled(buf, |b, n| unsafe { host::config(b, n) }) }
pub fn emit(callback: &[u8], json: &[u8]) { unsafe { host::emit(callback.as_ptr(), callback.len(), json.as_ptr(), json.len()); } }
pub fn reason(text: &str) { unsafe { host::reason(text.as_ptr(), text.len()); } }
pub fn sequence() -> u64 { unsafe { host::sequence() as u64 } }
/// When the event was accepted, Unix nanoseconds.
pub fn received() -> i64 { unsafe { host::received() } }
pub fn log(level: Level, text: &str) { unsafe { host::log(level as i32, text.as_ptr(), text.len()); } }
/// Adds n to a metric that the manifest asks for and the operator granted.
pub fn count(metric: &str, n: u32) { unsafe { host::count(metric.as_ptr(), metric.len(), n); } }
/// Ends the event as a failure, or the load.
pub fn fail(text: &str) -> ! { unsafe { host::fail(text.as_ptr(), text.len()) } }
pub fn has(function: &str) -> bool { unsafe { host::has(function.as_ptr(), function.len()) == 1 } }

/// Defines a guest: its paths, its expressions, what it does when it starts, and
/// what becomes of an event. All but the event may be left out.
#[macro_export]
macro_rules! guest {
    ($(paths { $($path:ident = $text:literal),* $(,)? })? $(regexes { $($regex:ident = $expr:literal),* $(,)? })? $(init $init:block)? event $event:block) => {
        $($(static $path: $crate::auditrelay::Path = $crate::auditrelay::Path::new($text);)*)?
        $($(static $regex: $crate::auditrelay::Regex = $crate::auditrelay::Regex::new($expr);)*)?

        #[no_mangle]
        pub extern "C" fn auditrelay_init() -> i32 {
            $($($path.intern();)*)?
            $($($regex.intern();)*)?
            $($init)?
            0
        }

        #[no_mangle]
        pub extern "C" fn auditrelay_event() -> i32 {
            fn event() -> $crate::auditrelay::Verdict $event
            event() as i32
        }
    };
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { fail("the guest panicked") }
