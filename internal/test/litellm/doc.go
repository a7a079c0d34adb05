// Package litellm imitates the s3_v2 logger of LiteLLM's versions, for tests of the relay
// as its S3 endpoint: what is sent, what is sent again and in which form, and what is
// lost. The real code cannot be in the tests, so the imitation is written from two tables
// of facts, and held against them by its own tests:
//
//	connection breaks             aiohttp                    httpx
//	refused                       POST                       POST
//	reset, also amid the body     POST                       -
//	closed amid the body          POST, if much is unsent    -
//	closed after the body         -                          POST
//	timeout                       -                          -
//
// POST is a second try at once, on a new connection, with the headers and the signature
// of the PUT; once. Without one, or where it breaks too, the event has failed.
//
//	answer                    seed    summer    present
//	2xx                       done    done      done
//	connection broke          lost    lost      queued again
//	timeout                   lost    lost      queued again
//	500, 503, 403             lost    lost      PUT after 1 s, PUT after 2 s, queued again
//	any other                 lost    lost      queued again
//
// An error that answers the POST counts as the same answer to a PUT. What is queued again
// is sent with the next flush. Sources: the versions as merged in March 2026 (seed, pull
// request 23167), of April to August 2026 (summer), of autumn 2026 (present). The
// connection errors of the transports were measured, their mapping was read.
package litellm
