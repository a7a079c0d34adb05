//go:build wasip1

package guest

import "unsafe"

// The imports as the ABI has them.

//go:wasmimport auditrelay_v1 path
func hostPath(ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 regex
func hostRegex(ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 find
func hostFind(p int32) int32

//go:wasmimport auditrelay_v1 each
func hostEach(p, previous int32) int32

//go:wasmimport auditrelay_v1 child
func hostChild(node, previous int32) int32

//go:wasmimport auditrelay_v1 length
func hostLength(node int32) int32

//go:wasmimport auditrelay_v1 kind
func hostKind(node int32) int32

//go:wasmimport auditrelay_v1 key
func hostKey(node int32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport auditrelay_v1 get
func hostGet(node int32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport auditrelay_v1 get_string
func hostGetString(node int32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport auditrelay_v1 is
func hostIs(p int32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 matches
func hostMatches(node, r int32) int32

//go:wasmimport auditrelay_v1 query
func hostQuery(ptr unsafe.Pointer, n uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport auditrelay_v1 set_json
func hostSetJson(node int32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 set_string
func hostSetString(node int32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 put
func hostPut(parent int32, keyPtr unsafe.Pointer, keyLen uint32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 delete
func hostDelete(node int32) int32

//go:wasmimport auditrelay_v1 mask
func hostMask(node int32) int32

//go:wasmimport auditrelay_v1 truncate
func hostTruncate(node, n int32) int32

//go:wasmimport auditrelay_v1 hmac
func hostHmac(node int32, keyPtr unsafe.Pointer, keyLen uint32) int32

//go:wasmimport auditrelay_v1 set_json_all
func hostSetJsonAll(p int32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 set_string_all
func hostSetStringAll(p int32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 delete_all
func hostDeleteAll(p int32) int32

//go:wasmimport auditrelay_v1 mask_all
func hostMaskAll(p int32) int32

//go:wasmimport auditrelay_v1 truncate_all
func hostTruncateAll(p, n int32) int32

//go:wasmimport auditrelay_v1 hmac_all
func hostHmacAll(p int32, keyPtr unsafe.Pointer, keyLen uint32) int32

//go:wasmimport auditrelay_v1 event_len
func hostEventLen() int32

//go:wasmimport auditrelay_v1 event_read
func hostEventRead(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport auditrelay_v1 event_replace
func hostEventReplace(ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 emit
func hostEmit(namePtr unsafe.Pointer, nameLen uint32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 reason
func hostReason(ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 config
func hostConfig(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport auditrelay_v1 config_find
func hostConfigFind(p int32) int32

//go:wasmimport auditrelay_v1 sequence
func hostSequence() int64

//go:wasmimport auditrelay_v1 received
func hostReceived() int64

//go:wasmimport auditrelay_v1 log
func hostLog(level int32, ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 count
func hostCount(namePtr unsafe.Pointer, nameLen uint32, n uint32) int32

//go:wasmimport auditrelay_v1 fail
func hostFail(ptr unsafe.Pointer, n uint32)

//go:wasmimport auditrelay_v1 has
func hostHas(namePtr unsafe.Pointer, nameLen uint32) int32

//go:wasmimport auditrelay_v1 detector
func hostDetector(ptr unsafe.Pointer, n uint32) int32

//go:wasmimport auditrelay_v1 detects
func hostDetects(node, d int32) int32

//go:wasmimport auditrelay_v1 partial
func hostPartial(node, n int32) int32

//go:wasmimport auditrelay_v1 partial_all
func hostPartialAll(p, n int32) int32

//go:wasmimport auditrelay_v1 redact_matches
func hostRedactMatches(node, h, operation int32) int32

//go:wasmimport auditrelay_v1 redact_matches_all
func hostRedactMatchesAll(p, h, operation int32) int32
