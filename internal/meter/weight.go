package meter

const (
	// Slack is the most that one charge takes for instructions that a branch may
	// then skip.
	Slack = 32
	// Overshoot bounds what runs, unpaid, once fuel is below zero.
	Overshoot = 4096
	// LeafSlots is the largest frame of functions that take no depth.
	LeafSlots = 64

	// freeWeight is the largest function for which its callers pay.
	freeWeight = 24

	// hostWeight is what leaving the guest for a function of the host takes; the
	// host charges for what that does.
	hostWeight = 44

	// registers is what of operands surely needs no place in a frame, between calls.
	registers = 8

	// frameSlots is what a call takes of the stack beside locals and operands.
	frameSlots = 8
)
