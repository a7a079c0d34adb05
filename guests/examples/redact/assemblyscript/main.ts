// Masks the acting key, makes object_id a pseudonym, deletes passwords wherever they stand.
import { path, tidy, Verdict } from "../../../sdk/assemblyscript/auditrelay";

const apiKey = path("changed_by_api_key");
const objectID = path("object_id");
const passwords = path("**.~password");

export function auditrelay_event(): i32 {
  tidy();
  apiKey.maskAll();
  objectID.hmacAll("pseudonyms");
  passwords.deleteAll();
  return Verdict.Keep;
}
