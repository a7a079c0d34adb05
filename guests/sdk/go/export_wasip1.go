//go:build wasip1

package guest

//go:wasmexport auditrelay_init
func exportedInit() int32 { return handleInit() }

//go:wasmexport auditrelay_event
func exportedEvent() int32 { return handleEvent() }
