// Masks what looks like a key wherever it stands, and alerts about it.
import { emit, Kind, Node, path, regex, tidy, Verdict } from "../../../sdk/assemblyscript/auditrelay";

const all = path("**");
const key = regex("sk-[A-Za-z0-9]{8,}");

export function auditrelay_event(): i32 {
  tidy();
  let found = false;
  for (let n = all.each(Node.none()); n.exists(); n = all.each(n)) {
    // Text that holds JSON is gone through; only the leaf in it is masked.
    if (n.kind() == Kind.String && !n.child(Node.none()).exists() && n.matches(key)) {
      n.mask();
      found = true;
    }
  }
  if (found) emit("alerts", '{"alert":"a key was found"}');
  return Verdict.Keep;
}
