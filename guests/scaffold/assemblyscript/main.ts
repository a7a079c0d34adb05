// @NAME@ is a guest of auditrelay. It masks what goes by a secret's name, wherever
// it stands, and drops what was merely created.
import { path, reason, tidy, Verdict } from "./auditrelay";

const action = path("action");
const secrets = path("**.~password");

export function auditrelay_event(): i32 {
  tidy();
  if (action.is("created")) {
    reason("nothing but a creation");
    return Verdict.Drop;
  }
  secrets.maskAll();
  return Verdict.Keep;
}
