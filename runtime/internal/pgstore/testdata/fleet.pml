/*
 * The protocol of a fleet's lease, and of the transactions of its holder, for spin.
 *
 * The database has the lease (epoch, beat, released), the number of commits with the id of
 * the newest, and of one event whether it is stored, what its payload was sealed as, and
 * whether its outcome is recorded. The destination has what lies under the event's key.
 * Transactions touch one row in common, the journal's; so one event stands for all.
 *
 * Relays crash, are stopped and continued, and lose answers. What they sent to the
 * database arrives late or never. Time is ticks, which each relay counts by itself. That
 * clocks run at one speed is assumed here; the program leaves a fifth for that they do not.
 *
 * Each word below takes one rule away. The test has spin look at the model without any of
 * them, where it must find nothing wrong, and with each, where it must find what the rule
 * is for.
 *
 *   NO_FENCE      a transaction does not check epoch and commits
 *   NO_EPOCH      a takeover does not raise the epoch
 *   NO_COMPARE    a takeover does not check that the lease is as it was seen
 *   LATE_COUNT    the holder counts from the answer to its renewal, not from before it
 *   SHORT_WAIT    others wait for less than the holder counts
 *   NO_STOP       the holder goes on sending when its count is over
 *   SEND_UNSEALED a payload is sent before it is sealed
 *   FORGET_ID     after a lost answer a commit is taken as not made
 *   TRUST_COMMIT  after a lost answer a commit is taken as made
 *   STALE_MEMORY  a relay that takes over goes on with what it knew before
 */
#define RELAYS 2
#ifndef TERMS
#define TERMS 3 /* takeovers in a history */
#define BEATS 4 /* changes of the lease in a history */
#endif
#define HELD 2 /* ticks that the holder counts */
#ifdef SHORT_WAIT
#define WAIT (HELD - 1)
#else
#define WAIT HELD /* ticks for which another relay has to see no change */
#endif

/* The database. */
byte epoch, beat, commits, newest;
bool released = true;
byte stored, sealed;
bool recorded;

/* The destination, and what the producer was told. */
byte there;
bool acknowledged;

/* Each relay: how long it holds the lease, what its renewal under way would give it, how
   long it has seen no change, whether it sends, and whether it is stopped. */
byte left[RELAYS], asked[RELAYS], still[RELAYS];
bool sending[RELAYS], stopped[RELAYS];

/* A commit on its way: its id (0: none), and the fence of who sent it. */
byte flight[RELAYS], flightEpoch[RELAYS], flightCommits[RELAYS];

#ifdef NO_FENCE
#define mayCommit(e, c) true
#define holds(e)        true
#else
#define mayCommit(e, c) (epoch == e && commits == c)
#define holds(e)        (epoch == e)
#endif

/* lands has the server make a commit that flies, or refuse it. */
inline lands(r) {
	if
	:: mayCommit(flightEpoch[r], flightCommits[r]) ->
		stored++; commits++; newest = flight[r];
		assert(stored == 1) /* nothing is stored twice */
	:: else
	fi;
	flight[r] = 0; flightEpoch[r] = 0; flightCommits[r] = 0
}

active [RELAYS] proctype Relay() {
	byte me = _pid, mine, sawEpoch, sawBeat, body, knownCommits, id;
	bool knownStored, knownRecorded;
	byte knownSealed;

follow:
	skip;
	d_step {
		left[me] = 0; asked[me] = 0; sending[me] = false; stopped[me] = false; mine = 0; body = 0; id = 0;
#ifndef STALE_MEMORY
		knownCommits = 0; knownStored = false; knownSealed = 0; knownRecorded = false
#endif
	}
end0:	do
	:: d_step { sawEpoch != epoch || sawBeat != beat -> sawEpoch = epoch; sawBeat = beat; still[me] = 0 }
	:: epoch < TERMS && beat < BEATS && sawEpoch == epoch && (still[me] >= WAIT || released) ->
		asked[me] = HELD; /* it counts from before it sends the takeover */
		if
#ifdef NO_COMPARE
		:: d_step { true ->
#else
		:: d_step { epoch == sawEpoch && beat == sawBeat ->
#endif
#ifdef NO_EPOCH
			if :: epoch == 0 -> epoch = 1 :: else fi;
#else
			epoch++;
#endif
			beat++; released = false; mine = epoch; sawEpoch = epoch; sawBeat = beat;
			/* Opening reads the journal, after the epoch is raised. */
			if
#ifdef STALE_MEMORY
			:: epoch > 2 -> skip
#endif
			:: else ->
				knownCommits = commits; knownStored = stored > 0; knownSealed = sealed; knownRecorded = recorded
			fi
			}; goto granted
#ifndef NO_COMPARE
		:: d_step { epoch != sawEpoch || beat != sawBeat -> asked[me] = 0 }
#endif
		fi
	od;

granted:
	skip;
	d_step {
#ifdef LATE_COUNT
		left[me] = HELD;
#else
		if :: asked[me] > left[me] -> left[me] = asked[me] :: else fi;
#endif
		asked[me] = 0
	}

lead:
end1:	do
	:: beat < BEATS -> /* it renews the lease */
		asked[me] = HELD;
		if
		:: d_step { epoch == mine -> beat++ }; goto granted
		:: epoch != mine -> goto follow
		fi
	:: d_step { epoch == mine && beat < BEATS -> left[me] = 0; released = true; beat++ }; goto follow
	:: goto follow /* it crashes */
	:: !acknowledged ->
		if
		:: d_step { knownStored -> acknowledged = true } /* a repeated event */
		:: !knownStored -> goto accept
		fi
	:: knownStored && !knownRecorded -> goto seal
	od;

accept:
	skip;
	d_step { id = mine * RELAYS + me + 1; flight[me] = id; flightEpoch[me] = mine; flightCommits[me] = knownCommits };
	if
	:: d_step { mayCommit(mine, knownCommits) -> lands(me) }; goto made
	:: d_step { !mayCommit(mine, knownCommits) -> lands(me) }; goto follow
	:: true /* the answer is lost */
	fi;
	if
	:: goto follow /* it crashes */
	:: true
	fi;
	/* It ends the old session: the commit is made by then, or never. Then it reads the row. */
	if
	:: d_step { flight[me] > 0 -> lands(me) }
	:: d_step { flight[me] = 0; flightEpoch[me] = 0; flightCommits[me] = 0 }
	fi;
	if
	:: !holds(mine) -> goto follow
#if defined(TRUST_COMMIT)
	:: holds(mine) -> goto made
#elif defined(FORGET_ID)
	:: d_step { holds(mine) -> knownCommits = commits }; goto accept
#else
	:: holds(mine) && newest == id -> goto made
	:: holds(mine) && newest != id -> goto accept
#endif
	fi;
made:
	skip;
	d_step { knownStored = true; knownCommits++; acknowledged = true; id = 0; assert(stored == 1) /* what is acknowledged is stored */ };
	goto lead;

seal:
	body = knownSealed;
	if
	:: body > 0
	:: body == 0 ->
		body = mine * RELAYS + me + 1; /* another relay's filters may decide otherwise */
#ifndef SEND_UNSEALED
		if
		:: d_step { holds(mine) -> sealed = body; knownSealed = body }
		:: !holds(mine) -> goto follow
		fi
#endif
	fi;
	if /* nothing leaves without a lease */
	:: d_step { left[me] > 0 -> sending[me] = true;
		assert(!sending[1 - me] || stopped[1 - me]) /* two send at once only where one was stopped */ }
	:: left[me] == 0 -> goto lead
	fi;
	/* It may be stopped in the middle. Elsewhere a stop is but a step that comes late. */
	if :: stopped[me] = true :: true fi;
	if
	:: d_step { sending[me] ->
		assert(there == 0 || there == body); /* no two holders' payloads under one key */
		there = body; sending[me] = false; stopped[me] = false }
	:: d_step { !sending[me] -> stopped[me] = false }; goto lead
	:: goto follow /* it crashes */
	fi;
#ifdef SEND_UNSEALED
	if
	:: d_step { holds(mine) -> sealed = body; knownSealed = body }
	:: !holds(mine) -> goto follow
	fi;
#endif
	if
	:: d_step { holds(mine) ->
		assert(!recorded && there == sealed); /* one outcome, of what arrived */
		recorded = true; knownRecorded = true }; goto lead
	:: !holds(mine) -> goto follow
	fi
}

active proctype Clock() {
	byte r;
end:	do
	:: d_step {
		r = 0;
		do
		:: r < RELAYS ->
			if :: left[r] > 0 -> left[r]-- :: else fi;
			if :: asked[r] > 0 -> asked[r]-- :: else fi;
			if :: still[r] < WAIT -> still[r]++ :: else fi;
#ifndef NO_STOP
			/* The timer breaks a delivery off; a process that is stopped does not see it. */
			if :: left[r] == 0 && !stopped[r] -> sending[r] = false :: else fi;
#endif
			r++
		:: else -> break
		od;
		r = 0
	}
	od
}

/* What a relay that crashed had sent arrives at any time. */
active proctype Network() {
end:	do
	:: d_step { flight[0] > 0 -> lands(0) }
	:: d_step { flight[1] > 0 -> lands(1) }
	od
}
