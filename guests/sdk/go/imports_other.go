//go:build !wasip1

package guest

import "unsafe"

// Outside a guest there is no host: the package compiles, for editors and
// documentation, and every call panics.
const nowhere = "guest: this function runs in a guest only"

func hostPath(ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostRegex(ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostFind(p int32) int32 { panic(nowhere) }

func hostEach(p, previous int32) int32 { panic(nowhere) }

func hostChild(node, previous int32) int32 { panic(nowhere) }

func hostLength(node int32) int32 { panic(nowhere) }

func hostKind(node int32) int32 { panic(nowhere) }

func hostKey(node int32, buf unsafe.Pointer, capacity uint32) int32 { panic(nowhere) }

func hostGet(node int32, buf unsafe.Pointer, capacity uint32) int32 { panic(nowhere) }

func hostGetString(node int32, buf unsafe.Pointer, capacity uint32) int32 { panic(nowhere) }

func hostIs(p int32, ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostMatches(node, r int32) int32 { panic(nowhere) }

func hostQuery(ptr unsafe.Pointer, n uint32, buf unsafe.Pointer, capacity uint32) int32 {
	panic(nowhere)
}

func hostSetJson(node int32, ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostSetString(node int32, ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostPut(parent int32, keyPtr unsafe.Pointer, keyLen uint32, ptr unsafe.Pointer, n uint32) int32 {
	panic(nowhere)
}

func hostDelete(node int32) int32 { panic(nowhere) }

func hostMask(node int32) int32 { panic(nowhere) }

func hostTruncate(node, n int32) int32 { panic(nowhere) }

func hostHmac(node int32, keyPtr unsafe.Pointer, keyLen uint32) int32 { panic(nowhere) }

func hostSetJsonAll(p int32, ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostSetStringAll(p int32, ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostDeleteAll(p int32) int32 { panic(nowhere) }

func hostMaskAll(p int32) int32 { panic(nowhere) }

func hostTruncateAll(p, n int32) int32 { panic(nowhere) }

func hostHmacAll(p int32, keyPtr unsafe.Pointer, keyLen uint32) int32 { panic(nowhere) }

func hostEventLen() int32 { panic(nowhere) }

func hostEventRead(buf unsafe.Pointer, capacity uint32) int32 { panic(nowhere) }

func hostEventReplace(ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostEmit(namePtr unsafe.Pointer, nameLen uint32, ptr unsafe.Pointer, n uint32) int32 {
	panic(nowhere)
}

func hostReason(ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostConfig(buf unsafe.Pointer, capacity uint32) int32 { panic(nowhere) }

func hostConfigFind(p int32) int32 { panic(nowhere) }

func hostSequence() int64 { panic(nowhere) }

func hostReceived() int64 { panic(nowhere) }

func hostLog(level int32, ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostCount(namePtr unsafe.Pointer, nameLen uint32, n uint32) int32 { panic(nowhere) }

func hostFail(ptr unsafe.Pointer, n uint32) { panic(nowhere) }

func hostHas(namePtr unsafe.Pointer, nameLen uint32) int32 { panic(nowhere) }

func hostDetector(ptr unsafe.Pointer, n uint32) int32 { panic(nowhere) }

func hostDetects(node, d int32) int32 { panic(nowhere) }

func hostPartial(node, n int32) int32 { panic(nowhere) }

func hostPartialAll(p, n int32) int32 { panic(nowhere) }

func hostRedactMatches(node, h, operation int32) int32 { panic(nowhere) }

func hostRedactMatchesAll(p, h, operation int32) int32 { panic(nowhere) }
