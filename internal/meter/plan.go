package meter

// An edit is one place where a function's code changes; the code between edits
// stays as it is.
type edit struct {
	at, end int // what of the module's bytes it replaces; nothing where equal
	kind    editKind
	value   int64
}

type editKind uint8

const (
	editNone   editKind = iota
	editCharge          // value: fuel
	editCheck           // value: fuel; then see whether any is left
	editCall            // value: the function
	editRef             // the same for ref.func
	editReturn          // value: the label of the block around the whole body
	editHelper          // value: which one is given what is on the stack
)

// A run is a stretch of code that is left only at its end: whoever enters it
// executes all of it, traps aside. Its weight is charged at its start, or, where
// that is little, at the start of a run that comes before it on every path, and
// no less often.
type run struct {
	edit   int   // its place in the edits
	weight int64 // of its instructions
	before int   // a run that always comes first; -1 for the first one and heads of loops
	payer  int   // the run at whose start it is charged, known once it is over
	spare  int64 // what it may still pay for others
}

// A block is one open block, loop, if or else.
type block struct {
	op     uint16
	run    int   // that ended or went on where it began; -1 where that cannot be reached
	unpaid int64 // there
	target bool  // its end is reached from elsewhere than the instruction before it
	most   int64 // of unpaid on those ways
	head   int   // of a loop: the run at its head; -1 where that cannot be reached
	sets   int   // of locals, before it
	values int   // that it is given, or gives, on the operand stack, whichever are more
}

// A planner finds the edits of one function after the other. It relies on the
// function being valid.
type planner struct {
	m      *module
	edits  []edit
	runs   []run
	open   []block
	now    int  // the current run; -1 in code that cannot be reached
	called bool // the current run called a function that charges for itself
	locals carried

	// unpaid bounds the weight that runs on any way here after the last check,
	// having been charged since.
	unpaid int64
}

// plan returns the edits of a function in the order of their places.
func (p *planner) plan(b *body) []edit {
	if b.free() {
		return nil
	}
	r := &reader{module: p.m.bytes, at: b.code, end: b.end}
	p.edits, p.runs, p.open, p.called, p.unpaid = p.edits[:0], p.runs[:0], p.open[:0], false, 0
	p.locals.reset(b.locals, b.sets)
	p.begin(b.code, -1)
	p.open = append(p.open, block{op: opBlock, run: p.now})
	for len(p.open) > 0 && r.err == nil {
		in := r.instruction(&p.m.limits)
		if p.now >= 0 {
			p.runs[p.now].weight += int64(in.info.weight)
		}
		switch in.op {
		case opBlock, opLoop, opIf, opElse, opEnd:
			p.structure(&in, r.at)
		case opBr, opBrIf, opBrTable, opReturn, opUnreachable:
			p.jump(&in, r.at, b)
		default:
			p.change(&in, r.at)
		}
	}
	return p.edits
}

// begin begins a run. The first one and those at heads of loops are charged at
// their own start, and what fuel is left is checked there.
func (p *planner) begin(at, before int) {
	p.now = len(p.runs)
	p.runs = append(p.runs, run{edit: len(p.edits), before: before, payer: p.now, spare: Slack})
	p.edits = append(p.edits, edit{at: at, end: at})
	if before < 0 {
		p.edits[len(p.edits)-1].kind = editCheck
		p.unpaid = 0
	}
}

// finish ends the current run, decides where it is charged, and returns it.
func (p *planner) finish() int {
	now := p.now
	p.now = -1
	if now < 0 {
		return now
	}
	s := &p.runs[now]
	if s.before >= 0 {
		payer := p.runs[s.before].payer
		if p.runs[payer].spare >= s.weight {
			p.runs[payer].spare -= s.weight
			s.payer = payer
		} else if e := &p.edits[s.edit]; p.unpaid+s.weight > Overshoot {
			e.kind = editCheck
			p.unpaid = 0
		} else {
			e.kind = editCharge
		}
	}
	e := &p.edits[p.runs[s.payer].edit]
	e.value += s.weight
	if e.kind == editCharge {
		p.unpaid += s.weight
	}
	if p.called {
		// Whatever was paid before the call has been checked in it; what the callee
		// paid towards its end has not.
		p.unpaid, p.called = Overshoot, false
	}
	return now
}

// structure does what opens and closes blocks; at is behind the instruction.
func (p *planner) structure(in *instruction, at int) {
	switch in.op {
	case opBlock:
		p.open = append(p.open, block{op: in.op, run: p.now, sets: p.locals.sets, values: p.values(in)})
	case opLoop, opIf:
		before := p.finish()
		p.open = append(p.open, block{op: in.op, run: before, unpaid: p.unpaid, head: -1, sets: p.locals.sets, values: p.values(in)})
		switch {
		case before < 0:
		case in.op == opLoop:
			p.begin(at, -1)
			p.open[len(p.open)-1].head = p.now
		default:
			p.begin(at, before)
		}
	case opElse:
		b := &p.open[len(p.open)-1]
		if p.finish() >= 0 {
			b.reached(p.unpaid)
		}
		b.op = opElse
		if b.run >= 0 {
			p.unpaid = b.unpaid
			p.begin(at, b.run)
		}
	case opEnd:
		b := p.open[len(p.open)-1]
		p.open = p.open[:len(p.open)-1]
		if b.op == opIf {
			b.reached(b.unpaid)
		}
		if b.op == opLoop && b.head >= 0 { // which is checked where it is charged
			p.edits[p.runs[b.head].edit].value += p.moved(&b)
		}
		if b.run >= 0 && (b.op == opLoop || b.target || len(p.open) == 0) {
			p.join(&b, at)
		}
	}
}

// join goes on behind a block that branches lead out of, or behind a loop, which
// is left more seldom than it is run.
func (p *planner) join(b *block, at int) {
	if p.finish() >= 0 {
		b.reached(p.unpaid)
	}
	if b.target && len(p.open) > 0 {
		p.unpaid = b.most
		p.begin(at, b.run)
		if b.op != opLoop {
			p.runs[p.now].weight += p.moved(b)
		}
	}
}

// moved is the weight of what is carried to a block's end, or back to a loop's head.
func (p *planner) moved(b *block) int64 { return moves(p.locals.since(b.sets) + b.values) }

// values is how many operands a block takes or gives, whichever are more.
func (p *planner) values(in *instruction) int {
	switch in.block {
	case noValue:
		return 0
	case byIndex:
		t := p.m.types[in.x]
		return max(len(t.params), len(t.results))
	}
	return 1
}

func (b *block) reached(unpaid int64) {
	b.target = true
	b.most = max(b.most, unpaid)
}

func (p *planner) jump(in *instruction, at int, b *body) {
	if in.op == opReturn && b.tracked() {
		p.edits = append(p.edits, edit{in.at, at, editReturn, int64(len(p.open) - 1)})
	}
	before := p.finish()
	if before < 0 {
		return
	}
	switch in.op {
	case opBr:
		p.target(in.x)
	case opBrIf:
		p.target(in.x)
		p.begin(at, before)
	case opBrTable:
		labels := &reader{module: p.m.bytes, at: int(in.y), end: at}
		for range in.x + 1 {
			p.target(labels.u32())
		}
	}
}

func (p *planner) target(label uint32) {
	if b := &p.open[len(p.open)-1-int(label)]; b.op != opLoop {
		b.reached(p.unpaid)
	}
}

// change does the instructions that change themselves.
func (p *planner) change(in *instruction, at int) {
	switch in.op {
	case opLocalSet, opLocalTee:
		p.locals.set(int(in.x))
	case opCall:
		if int(in.x) < p.m.imported {
			if p.now >= 0 {
				p.runs[p.now].weight += hostWeight
			}
			return
		}
		p.edits = append(p.edits, edit{in.at, at, editCall, int64(in.x)})
		callee := &p.m.bodies[int(in.x)-p.m.imported]
		switch {
		case p.now < 0:
		case callee.free():
			p.runs[p.now].weight += callee.weight
		default:
			p.called = true
		}
	case opCallIndirect:
		if p.now >= 0 {
			p.runs[p.now].weight += freeWeight
			p.called = true
		}
	case opRefFunc:
		if int(in.x) >= p.m.imported {
			p.edits = append(p.edits, edit{in.at, at, editRef, int64(in.x)})
		}
	default:
		if h := helperOf(in.op); h >= 0 {
			p.edits = append(p.edits, edit{in.at, in.at, editHelper, int64(h)})
		}
		if in.op == opMemoryGrow || in.op == opTableGrow {
			p.edits = append(p.edits, edit{at, at, editHelper, helperGrown})
		}
	}
}
