/**
 * The AssemblyScript SDK for guests of the audit event relay: one file.
 *
 *     import { path, Verdict } from "./auditrelay";
 *
 *     const secrets = path("**.~password");
 *
 *     export function auditrelay_event(): i32 {
 *       secrets.deleteAll();
 *       return Verdict.Keep;
 *     }
 *
 *     asc main.ts -o guest.wasm -O3 --runtime minimal --use abort=auditrelay/abort
 *
 * Paths and regular expressions are made at the top level; nodes are valid until
 * the event's function returns. Functions that are given something too long or not
 * granted end the event as a failure, so there is nothing to check: what an editing
 * function returns is how much it changed. A guest that makes garbage calls tidy()
 * before it returns from an event.
 */

@external("auditrelay_v1", "path") declare function hostPath(ptr: usize, len: usize): i32;
@external("auditrelay_v1", "regex") declare function hostRegex(ptr: usize, len: usize): i32;
@external("auditrelay_v1", "find") declare function hostFind(p: i32): i32;
@external("auditrelay_v1", "each") declare function hostEach(p: i32, previous: i32): i32;
@external("auditrelay_v1", "child") declare function hostChild(node: i32, previous: i32): i32;
@external("auditrelay_v1", "length") declare function hostLength(node: i32): i32;
@external("auditrelay_v1", "kind") declare function hostKind(node: i32): i32;
@external("auditrelay_v1", "key") declare function hostKey(node: i32, buf: usize, cap: usize): i32;
@external("auditrelay_v1", "get") declare function hostGet(node: i32, buf: usize, cap: usize): i32;
@external("auditrelay_v1", "get_string") declare function hostGetString(node: i32, buf: usize, cap: usize): i32;
@external("auditrelay_v1", "is") declare function hostIs(p: i32, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "matches") declare function hostMatches(node: i32, r: i32): i32;
@external("auditrelay_v1", "query") declare function hostQuery(ptr: usize, len: usize, buf: usize, cap: usize): i32;
@external("auditrelay_v1", "set_json") declare function hostSetJSON(node: i32, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "set_string") declare function hostSetString(node: i32, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "put") declare function hostPut(parent: i32, key: usize, keyLen: usize, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "delete") declare function hostDelete(node: i32): i32;
@external("auditrelay_v1", "mask") declare function hostMask(node: i32): i32;
@external("auditrelay_v1", "truncate") declare function hostTruncate(node: i32, n: i32): i32;
@external("auditrelay_v1", "hmac") declare function hostHMAC(node: i32, key: usize, keyLen: usize): i32;
@external("auditrelay_v1", "set_json_all") declare function hostSetJSONAll(p: i32, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "set_string_all") declare function hostSetStringAll(p: i32, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "delete_all") declare function hostDeleteAll(p: i32): i32;
@external("auditrelay_v1", "mask_all") declare function hostMaskAll(p: i32): i32;
@external("auditrelay_v1", "truncate_all") declare function hostTruncateAll(p: i32, n: i32): i32;
@external("auditrelay_v1", "hmac_all") declare function hostHMACAll(p: i32, key: usize, keyLen: usize): i32;
@external("auditrelay_v1", "event_len") declare function hostEventLen(): i32;
@external("auditrelay_v1", "event_read") declare function hostEventRead(buf: usize, cap: usize): i32;
@external("auditrelay_v1", "event_replace") declare function hostEventReplace(ptr: usize, len: usize): i32;
@external("auditrelay_v1", "emit") declare function hostEmit(name: usize, nameLen: usize, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "reason") declare function hostReason(ptr: usize, len: usize): i32;
@external("auditrelay_v1", "config") declare function hostConfig(buf: usize, cap: usize): i32;
@external("auditrelay_v1", "config_find") declare function hostConfigFind(p: i32): i32;
@external("auditrelay_v1", "sequence") declare function hostSequence(): i64;
@external("auditrelay_v1", "received") declare function hostReceived(): i64;
@external("auditrelay_v1", "log") declare function hostLog(level: i32, ptr: usize, len: usize): i32;
@external("auditrelay_v1", "count") declare function hostCount(name: usize, nameLen: usize, n: u32): i32;
@external("auditrelay_v1", "fail") declare function hostFail(ptr: usize, len: usize): void;
@external("auditrelay_v1", "detector") declare function hostDetector(ptr: usize, len: usize): i32;
@external("auditrelay_v1", "detects") declare function hostDetects(node: i32, d: i32): i32;
@external("auditrelay_v1", "partial") declare function hostPartial(node: i32, n: i32): i32;
@external("auditrelay_v1", "partial_all") declare function hostPartialAll(p: i32, n: i32): i32;
@external("auditrelay_v1", "redact_matches") declare function hostRedactMatches(node: i32, h: i32, operation: i32): i32;
@external("auditrelay_v1", "redact_matches_all") declare function hostRedactMatchesAll(p: i32, h: i32, operation: i32): i32;
@external("auditrelay_v1", "has") declare function hostHas(name: usize, nameLen: usize): i32;

/** The decision on one event: Keep lets it go on, with the edits made. */
export namespace Verdict {
  export const Keep: i32 = 1;
  export const Drop: i32 = 2;
}

export enum Kind { Absent, Null, Bool, Number, String, Object, Array }
export enum Level { Debug, Info, Warn, Error }

function utf8(text: string): ArrayBuffer { return String.UTF8.encode(text); }
function at(b: ArrayBuffer): usize { return changetype<usize>(b); }

/** Where the host writes; grown to what it needed. */
let buffer = new ArrayBuffer(1024);

function read(length: i32): string {
  return length < 0 ? "" : String.UTF8.decodeUnsafe(at(buffer), <usize>length);
}

/** Whether the buffer was large enough; it is now. */
function fits(length: i32): bool {
  if (length <= buffer.byteLength) return true;
  buffer = new ArrayBuffer(length);
  return false;
}

/** A path; made at the top level. */
export class Path {
  constructor(private p: i32) {}
  find(): Node { return new Node(hostFind(this.p)); }
  findConfig(): Node { return new Node(hostConfigFind(this.p)); }
  each(previous: Node): Node { return new Node(hostEach(this.p, previous.n)); }
  is(text: string): bool { const b = utf8(text); return hostIs(this.p, at(b), b.byteLength) == 1; }
  maskAll(): i32 { return hostMaskAll(this.p); }
  deleteAll(): i32 { return hostDeleteAll(this.p); }
  truncateAll(n: i32): i32 { return hostTruncateAll(this.p, n); }
  hmacAll(key: string): i32 { const b = utf8(key); return hostHMACAll(this.p, at(b), b.byteLength); }
  partialAll(n: i32): i32 { return hostPartialAll(this.p, n); }
  redactMatchesAll(m: Matcher, operation: Matches): i32 { return hostRedactMatchesAll(this.p, m.r, operation); }
  setJSONAll(json: string): i32 { const b = utf8(json); return hostSetJSONAll(this.p, at(b), b.byteLength); }
  setStringAll(text: string): i32 { const b = utf8(text); return hostSetStringAll(this.p, at(b), b.byteLength); }
}

/** What becomes of what a matcher finds. */
export enum Matches { Mask = 1, Remove = 2 }

/** What finds parts of a text. */
export class Matcher { constructor(public r: i32) {} }
/** A regular expression (RE2); made at the top level. */
export class Regex extends Matcher {}
/** Detectors, by name or group; made at the top level. */
export class Detector extends Matcher {}

export function detector(names: string): Detector { const b = utf8(names); return new Detector(hostDetector(at(b), b.byteLength)); }

export function path(text: string): Path { const b = utf8(text); return new Path(hostPath(at(b), b.byteLength)); }
export function regex(text: string): Regex { const b = utf8(text); return new Regex(hostRegex(at(b), b.byteLength)); }

/** One value of the event or of the configuration; a negative one is none. */
export class Node {
  constructor(public n: i32) {}
  static none(): Node { return new Node(-1); }
  static root(): Node { return new Node(0); }
  exists(): bool { return this.n >= 0; }
  child(previous: Node): Node { return new Node(hostChild(this.n, previous.n)); }
  length(): i32 { return hostLength(this.n); }
  kind(): Kind { return <Kind>hostKind(this.n); }
  key(): string { let n: i32; do { n = hostKey(this.n, at(buffer), buffer.byteLength); } while (!fits(n)); return read(n); }
  json(): string { let n: i32; do { n = hostGet(this.n, at(buffer), buffer.byteLength); } while (!fits(n)); return read(n); }
  text(): string { let n: i32; do { n = hostGetString(this.n, at(buffer), buffer.byteLength); } while (!fits(n)); return read(n); }
  matches(r: Regex): bool { return hostMatches(this.n, r.r) == 1; }
  detects(d: Detector): bool { return hostDetects(this.n, d.r) == 1; }
  partial(n: i32): bool { return hostPartial(this.n, n) == 0; }
  redactMatches(m: Matcher, operation: Matches): i32 { return hostRedactMatches(this.n, m.r, operation); }
  setJSON(json: string): bool { const b = utf8(json); return hostSetJSON(this.n, at(b), b.byteLength) == 0; }
  setString(text: string): bool { const b = utf8(text); return hostSetString(this.n, at(b), b.byteLength) == 0; }
  put(key: string, json: string): bool { const k = utf8(key), b = utf8(json); return hostPut(this.n, at(k), k.byteLength, at(b), b.byteLength) == 0; }
  delete(): bool { return hostDelete(this.n) == 0; }
  mask(): bool { return hostMask(this.n) == 0; }
  truncate(n: i32): bool { return hostTruncate(this.n, n) == 0; }
  hmac(key: string): bool { const b = utf8(key); return hostHMAC(this.n, at(b), b.byteLength) == 0; }
}

/** The whole event as it stands. */
export function event(): string { let n: i32; do { n = hostEventRead(at(buffer), buffer.byteLength); } while (!fits(n)); return read(n); }
/** The whole event into a buffer of one's own; the length that it has. */
export function eventInto(buf: usize, capacity: i32): i32 { return hostEventRead(buf, capacity); }
export function eventLength(): i32 { return hostEventLen(); }
export function replaceEvent(json: string): void { const b = utf8(json); hostEventReplace(at(b), b.byteLength); }
export function replaceEventBytes(ptr: usize, length: i32): void { hostEventReplace(ptr, length); }
export function query(text: string): string {
  const b = utf8(text);
  let n: i32; do { n = hostQuery(at(b), b.byteLength, at(buffer), buffer.byteLength); } while (!fits(n)); return read(n);
}
/** The filter's configuration as JSON, empty where it has none. */
export function config(): string { let n: i32; do { n = hostConfig(at(buffer), buffer.byteLength); } while (!fits(n)); return read(n); }
export function emit(callback: string, json: string): void { const c = utf8(callback), b = utf8(json); hostEmit(at(c), c.byteLength, at(b), b.byteLength); }
export function reason(text: string): void { const b = utf8(text); hostReason(at(b), b.byteLength); }
export function sequence(): u64 { return <u64>hostSequence(); }
/** When the event was accepted, Unix nanoseconds. */
export function received(): i64 { return hostReceived(); }
export function log(level: Level, text: string): void { const b = utf8(text); hostLog(<i32>level, at(b), b.byteLength); }
/** Adds n to a metric that the manifest asks for and the operator granted. */
export function count(metric: string, n: u32): void { const b = utf8(metric); hostCount(at(b), b.byteLength, n); }
/** Ends the event as a failure, or the load. */
export function fail(text: string): void { const b = utf8(text); hostFail(at(b), b.byteLength); }
export function has(name: string): bool { const b = utf8(name); return hostHas(at(b), b.byteLength) == 1; }

let garbage: i32 = 0;

/** Collects garbage now and then; call it with nothing in hand, last in an event. */
export function tidy(): void {
  if (++garbage < 64) return;
  garbage = 0;
  __collect();
}

export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  fail(message ? message : "the guest aborted");
}
