// Package litellm imitates the s3_v2 logger of LiteLLM's versions, for tests of the relay as
// its S3 endpoint: sent events, retries with their form, and lost events. The tests cannot
// include the real code. The imitation is written from two tables of facts, and its own tests
// compare it with them:
//
//	connection breaks             aiohttp                    httpx
//	refused                       POST                       POST
//	reset, also amid the body     POST                       -
//	closed amid the body          POST, if much is unsent    -
//	closed after the body         -                          POST
//	timeout                       -                          -
//
// POST is one immediate second try on a new connection, with the headers and the signature of
// the PUT. Without a second try, or if it breaks too, the event has failed.
//
//	answer                    seed    summer    present
//	2xx                       done    done      done
//	connection broke          lost    lost      queued again
//	timeout                   lost    lost      queued again
//	500, 503, 403             lost    lost      PUT after 1 s, PUT after 2 s, queued again
//	any other                 lost    lost      queued again
//
// An error in answer to the POST counts like the same answer to a PUT. The next flush sends
// events that were queued again. Sources: the versions as merged in March 2026 (seed, pull
// request 23167), of April to August 2026 (summer), of autumn 2026 (present). The connection
// errors of the transports were measured; their mapping was read in the code.
package litellm
