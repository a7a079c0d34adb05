package meter

// What compiling a function costs wazero is no more than loosely tied to the
// function's size: it goes by blocks times the values that live across them, by
// the square of blocks that come one after the other, by calls times globals, and
// some instructions take 30 times what others take. An estimate keeps account of
// that while the function is validated. A step is about 1 KB, which is given back
// after each function, and 3 us. docs/design/security.md has what was measured.
const (
	// fine is how many parts a step has.
	fine = 512

	dearBody   = 12
	dearBlock  = 3
	dearIf     = 10
	dearBranch = 4
	dearLoop   = 22
	dearLabel  = 3
	dearCall   = 3

	perValue   = fine / 2 // that a call takes or gives
	perGlobal  = fine / 2 // and call: each is loaded after it
	perLive    = fine / 8 // value on the stack, and block
	perLookup  = fine / 8 // variable, and block through which its value is looked for
	perWalk    = 16       // block without a second way in, as a part of a lookup: perLookup by that
	perAhead   = 1        // block, and block that dominates it
	fewValues  = 16       // need no place in the frame
	spillTimes = 4
)

// instructionCost is what one instruction takes in steps, where few values live.
func instructionCost(in *instruction) int {
	switch in.op {
	case 0x01, opDrop, opLocalGet, opLocalSet, opLocalTee, opBlock, opLoop, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opReturn:
		return 0 // or counted apart
	case opTableGet, opTableSet:
		return 5
	case opMemoryGrow, opTableGrow:
		return 12
	case opMemoryFill, opTableFill:
		return 36
	case opMemoryCopy, opMemoryInit, opTableCopy, opTableInit, opRefFunc:
		return 25
	case opCallIndirect:
		return 15
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82: // division
		return 6
	case 0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1: // trunc, which traps
		return 11
	}
	if in.info.immediate == immMemory || in.info.immediate == immMemoryLane {
		return 5
	}
	return 1
}

// A dearness is the estimate for one function, as far as it has been read. A
// variable is a local or a global; only in code that can be reached.
type dearness struct {
	cost    int // in parts
	lookups int // of variables in blocks
	blocks  int // so far, ways between them, and what is walked beside

	// Of the current block:
	joined int // blocks, when the last one before it began that has several ways in
	chain  int // blocks since then
	ahead  int // blocks that dominate it

	known   []int // for each variable: blocks, when its value was last set or looked for
	undo    []undo
	globals []globalVariable
	body    int
	number  int // of globals to load after calls
}

// A globalVariable tells which variable of the function body a global is.
type globalVariable struct{ body, variable int }

// undo tells what was known of a variable before it was set, or looked for.
type undo struct {
	variable, known int
	set             bool
}

// A region is what the estimate keeps for an open block.
type region struct {
	begin, joined, chain, ahead int // where it began
	undo                        int

	ways    int // to its end; back to a loop's head
	least   int // of ahead there
	longest int // chain there
	walked  int // chains there, all together
	crossed int // variables that were looked for beyond a loop's head
}

func (d *dearness) start(locals, globals, number int) {
	*d = dearness{
		cost: dearBody*fine + number*perGlobal, blocks: 1, ahead: 1, chain: 1,
		known: append(d.known[:0], make([]int, locals)...), undo: d.undo[:0], globals: d.globals, body: d.body + 1, number: number,
	}
	if d.globals == nil {
		d.globals = make([]globalVariable, globals)
	}
}

// steps is the estimate.
func (d *dearness) steps() int {
	return (d.cost + min(d.lookups, d.blocks*len(d.known))*perLookup) / fine
}

// follow goes on in n new blocks with one way in each.
func (d *dearness) follow(n int) {
	d.blocks += n
	d.chain += n
	d.ahead += n
	d.cost += n * d.ahead * perAhead
}

func (d *dearness) open(op uint16, height int) region {
	d.cost += height * perLive
	switch op {
	case opBlock:
		d.cost += dearBlock * fine
	case opIf:
		d.cost += dearIf*fine + 2*d.ahead*perAhead
	case opLoop:
		d.cost += dearLoop*fine + 4*d.ahead*perAhead // with the check at its head
		d.follow(3)
		d.join()
	}
	r := region{begin: d.blocks, joined: d.joined, chain: d.chain, ahead: d.ahead, undo: len(d.undo), least: d.ahead}
	if op != opBlock {
		d.follow(1)
	}
	return r
}

func (d *dearness) join() {
	d.blocks++
	d.joined, d.chain = d.blocks, 0
}

// way is one to a region's end, or back to a loop's head.
func (d *dearness) way(r *region) {
	d.blocks++
	d.cost += (d.ahead - r.ahead) * perAhead
	if r.ways++; r.ways == 1 {
		r.least = d.ahead
	}
	r.least = min(r.least, d.ahead)
	r.longest = max(r.longest, d.chain)
	r.walked += d.chain
}

// branch is a way that code takes.
func (d *dearness) branch(r *region, values, height int) {
	d.cost += dearBranch*fine + values*perValue + height*perLive
	d.way(r)
}

// otherwise goes from an if to its else.
func (d *dearness) otherwise(r *region) {
	d.forget(r)
	d.joined, d.chain, d.ahead = r.joined, r.chain, r.ahead
	d.follow(1)
}

// forget takes back what code that is run on some ways only has made known. What
// was looked for there has been looked for up to where the region began.
func (d *dearness) forget(r *region) {
	for i := len(d.undo) - 1; i >= r.undo; i-- {
		u := d.undo[i]
		if !u.set {
			u.known = max(u.known, r.begin)
		}
		d.known[u.variable] = u.known
	}
	d.undo = d.undo[:r.undo]
}

// close goes on behind a region; reached: by its last instruction.
func (d *dearness) close(op uint16, r *region, reached bool) {
	if op == opLoop {
		d.lookups += r.crossed * (d.blocks - r.begin + r.ways + r.walked/perWalk)
		d.follow(1)
		return
	}
	straight := reached && r.ways == 0 && op == opBlock
	if reached {
		d.way(r)
	}
	if op == opIf { // without else
		d.chain, d.ahead = r.chain, r.ahead
		d.way(r)
	}
	if straight {
		d.follow(1)
		return
	}
	d.forget(r)
	d.joined, d.chain, d.ahead = r.joined, r.longest, r.least
	d.follow(1)
	if r.ways > 1 {
		d.blocks += r.walked / perWalk
		d.join()
	}
}

// get looks for a variable's value, back to where it was set or ways join. There
// it is remembered.
func (d *dearness) get(variable int, frames []frame) {
	known := d.known[variable]
	if known >= d.joined {
		d.lookups += min(d.blocks-known, d.chain) / perWalk
		return
	}
	d.lookups += d.blocks - known
	for i := len(frames) - 1; i >= 0 && frames[i].region.begin > known; i-- {
		frames[i].region.crossed++
	}
	d.undo = append(d.undo, undo{variable: variable, known: known})
	d.known[variable] = d.joined
}

func (d *dearness) set(variable int) {
	d.undo = append(d.undo, undo{variable: variable, known: d.known[variable], set: true})
	d.known[variable] = d.blocks
}

// global returns the variable that a global is.
func (d *dearness) global(i uint32) int {
	g := &d.globals[i]
	if g.body != d.body {
		*g = globalVariable{d.body, len(d.known)}
		d.known = append(d.known, 0)
	}
	return g.variable
}

func (d *dearness) call(t funcType) {
	d.cost += dearCall*fine + (len(t.params)+len(t.results))*perValue + d.number*perGlobal
}

// estimate adds an instruction to the estimate, before it is validated.
func (v *validator) estimate(in *instruction) {
	f := &v.frames[len(v.frames)-1]
	if f.unreachable && in.op != opEnd && in.op != opElse {
		return
	}
	d := &v.dear
	cost := instructionCost(in) * fine
	if len(v.stack)+len(v.locals) > fewValues {
		cost *= spillTimes
	}
	d.cost += cost
	target := func(label uint32, height int) {
		if int(label) < len(v.frames) {
			f := &v.frames[len(v.frames)-1-int(label)]
			d.branch(&f.region, len(f.label()), height)
		}
	}
	switch in.op {
	case opMemoryFill, opTableFill, opMemoryCopy, opTableCopy:
		d.follow(4) // loops
	case opElse:
		if !f.unreachable {
			d.way(&f.region)
		}
		d.otherwise(&f.region)
	case opEnd:
		d.close(f.op, &f.region, !f.unreachable)
	case opBr:
		target(in.x, len(v.stack))
	case opBrIf:
		target(in.x, len(v.stack))
		d.follow(1)
	case opBrTable:
		labels := &reader{module: v.r.module, at: int(in.y), end: v.r.end}
		d.follow(1)
		for range in.x + 1 {
			d.blocks++ // each has a block of its own to pass values on
			target(labels.u32(), 0)
		}
	case opReturn:
		target(uint32(len(v.frames)-1), len(v.stack))
	case opCall:
		if int(in.x) < len(v.m.funcs) {
			d.call(v.m.types[v.m.funcs[in.x]])
		}
	case opCallIndirect:
		if int(in.x) < len(v.m.types) {
			d.call(v.m.types[in.x])
		}
	case opLocalGet:
		if int(in.x) < len(v.locals) {
			d.get(int(in.x), v.frames)
		}
	case opLocalSet, opLocalTee:
		if int(in.x) < len(v.locals) {
			d.set(int(in.x))
		}
	case opGlobalGet:
		if int(in.x) < len(v.m.globals) {
			d.get(d.global(in.x), v.frames)
		}
	case opGlobalSet:
		if int(in.x) < len(v.m.globals) {
			d.set(d.global(in.x))
		}
	}
}
