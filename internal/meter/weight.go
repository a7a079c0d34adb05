package meter

const (
	// Slack is the maximum charge for instructions that a branch may then skip.
	Slack = 32
	// Overshoot limits the unpaid work that runs once fuel is below zero.
	Overshoot = 4096
	// LeafSlots is the maximum frame of a function that takes no depth.
	LeafSlots = 64

	// freeWeight is the maximum weight of a function that its callers pay for.
	freeWeight = 24

	// hostWeight is the cost of a call from the guest to a host function. The host charges for
	// the function's work.
	hostWeight = 44

	// registers is the number of operands that need no place in a frame between calls.
	registers = 8

	// frameSlots is the stack use of a call apart from locals and operands.
	frameSlots = 8
)
