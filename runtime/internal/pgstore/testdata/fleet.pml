/*
 * The protocol of a fleet's lease and of the transactions of its owner, for spin.
 *
 * The database: the lease (epoch, beat, released), the number of commits and the id of the
 * newest, and for each event whether it is stored, what its payload was sealed as, and
 * whether its outcome is recorded. The destination: what lies under the event's key.
 *
 * Relays crash, are stopped and continued, lose answers, and send what the database
 * takes only later. Time is ticks that every clock counts; no relay reads another one's.
 *
 * Each word below takes away one rule. The test runs spin without any, which must find
 * nothing, and with each, which must find that the rule is needed:
 *
 *   NO_FENCE      a transaction does not check the epoch
 *   NO_EPOCH      a takeover does not raise it
 *   NO_COMPARE    a takeover does not check that the lease is as it was seen
 *   LATE_COUNT    the holder counts from the answer to its renewal, not from before it
 *   EARLY_TAKE    others wait as long as the holder counts, and not longer
 *   NO_STOP       the holder goes on sending when its count is over
 *   SEND_UNSEALED a payload is sent before it is sealed
 *   FORGET_ID     after a lost answer the commit is taken as not made
 *   TRUST_COMMIT  after a lost answer the commit is taken as made
 *   STALE_MEMORY  a relay that takes over goes on with what it knew before
 */
#define RELAYS 2
#define EVENTS 2
#define TERMS  3 /* takeovers in a history */
#define BEATS  5 /* changes of the lease in a history */
#define HELD   2 /* ticks that the holder counts */
#ifdef EARLY_TAKE
#define WAIT   HELD
#else
#define WAIT   (HELD + 1) /* ticks for which others have to see no renewal */
#endif

/* The database. */
byte epoch, beat, commits, newest;
bool released = true;
byte stored[EVENTS], sealed[EVENTS];
bool recorded[EVENTS];

/* The destination, and what producers were told. */
byte there[EVENTS];
bool acknowledged[EVENTS];

/* Each relay: how long it holds, what its renewal would give it, how long it has seen
   no renewal, whether it is sending, and whether it is stopped. */
byte left[RELAYS], asked[RELAYS], still[RELAYS];
bool sending[RELAYS], paused[RELAYS];

/* A commit on its way to the database: the event, with the fence of who sent it. */
byte flying[RELAYS], flyEpoch[RELAYS], flyCommits[RELAYS], flyID[RELAYS];

#ifdef NO_FENCE
#define fence(e) true
#else
#define fence(e) (epoch == e)
#endif

/* A server takes what flies at any time; a relay that lost the answer ends that first. */
inline take(r) {
	d_step {
		if
		:: flying[r] > 0 && fence(flyEpoch[r]) && commits == flyCommits[r] ->
			stored[flying[r] - 1]++; commits++; newest = flyID[r];
			assert(stored[flying[r] - 1] == 1) /* nothing accepted is doubled */
#ifdef NO_FENCE
		:: flying[r] > 0 && commits != flyCommits[r] ->
			stored[flying[r] - 1]++; commits++; newest = flyID[r];
			assert(stored[flying[r] - 1] == 1)
#endif
		:: else
		fi;
		flying[r] = 0; flyEpoch[r] = 0; flyCommits[r] = 0; flyID[r] = 0
	}
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
			/* The timer breaks a delivery off, unless the process is stopped. */
			if :: left[r] == 0 && !paused[r] -> sending[r] = false :: else fi;
#endif
			r++
		:: else -> break
		od;
		r = 0
	}
	od
}

active [RELAYS] proctype Relay() {
	byte me = _pid - 1, mine, sawEpoch, sawBeat, e, body, knownCommits, id;
	byte knownStored[EVENTS], knownSealed[EVENTS];
	bool knownRecorded[EVENTS];

follow:
	skip;
	d_step { left[me] = 0; asked[me] = 0; sending[me] = false; paused[me] = false; mine = 0; e = 0; body = 0; id = 0;
#ifndef STALE_MEMORY
		knownCommits = 0; knownStored[0] = 0; knownStored[1] = 0; knownSealed[0] = 0; knownSealed[1] = 0;
		knownRecorded[0] = false; knownRecorded[1] = false
#endif
	}
end0:	do
	:: d_step { (sawEpoch != epoch || sawBeat != beat) -> sawEpoch = epoch; sawBeat = beat; still[me] = 0 }
	:: epoch < TERMS && beat < BEATS && (still[me] >= WAIT || released) && (sawEpoch > 0 || epoch == 0) ->
		asked[me] = HELD; /* before it sends the takeover */
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
			/* Opening the journal reads it, after the epoch is raised. */
#ifdef STALE_MEMORY
			if :: knownCommits == 0 ->
#endif
			knownCommits = commits;
			knownStored[0] = stored[0]; knownStored[1] = stored[1];
			knownSealed[0] = sealed[0]; knownSealed[1] = sealed[1];
			knownRecorded[0] = recorded[0]; knownRecorded[1] = recorded[1];
#ifdef STALE_MEMORY
			:: else fi
#endif
			}; goto granted
#ifndef NO_COMPARE
		:: d_step { (epoch != sawEpoch || beat != sawBeat) -> asked[me] = 0 }
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
	/* It renews its lease. */
	:: beat < BEATS -> asked[me] = HELD;
		if
		:: d_step { epoch == mine -> beat++ }; goto granted
		:: epoch != mine -> goto follow
		fi
	/* It gives the lease up, or crashes. What flies, flies on. */
	:: d_step { epoch == mine && beat < BEATS && !sending[me] && flying[me] == 0 -> left[me] = 0; released = true; beat++ }; goto follow
	:: goto follow
	/* It is stopped, and continued at some later time. */
	:: !paused[me] -> paused[me] = true
	:: paused[me] -> d_step { paused[me] = false; if :: left[me] == 0 -> sending[me] = false :: else fi }
	/* A producer sends an event, again until it is acknowledged. */
	:: !paused[me] ->
		if :: e = 0 :: e = 1 fi;
		if
		:: knownStored[e] > 0 -> acknowledged[e] = true
		:: knownStored[e] == 0 -> goto accept
		fi
	/* It seals and delivers what it has stored. */
	:: !paused[me] -> 
		if :: e = 0 :: e = 1 fi;
		if
		:: knownStored[e] > 0 && !knownRecorded[e] -> goto work
		:: else
		fi
	od;

accept: /* sends a transaction with a random id, and gets an answer or loses it */
	skip;
	d_step { id = (mine * RELAYS + me) * EVENTS + e + 1; flying[me] = e + 1; flyEpoch[me] = mine; flyCommits[me] = knownCommits; flyID[me] = id };
	if
	:: d_step { flying[me] > 0 && fence(mine) && commits == knownCommits ->
		stored[e]++; commits++; newest = id; assert(stored[e] == 1);
		flying[me] = 0; flyEpoch[me] = 0; flyCommits[me] = 0; flyID[me] = 0 };
		goto stored_
	:: d_step { flying[me] > 0 && !(fence(mine) && commits == knownCommits) -> flying[me] = 0; flyEpoch[me] = 0; flyCommits[me] = 0; flyID[me] = 0 }; goto follow
	:: skip /* the answer is lost, or it crashes */
	fi;
	if
	:: goto follow
	:: skip
	fi;
	/* The old session is ended: it has committed, or never will. Then the row is read. */
	if :: take(me) :: d_step { flying[me] = 0; flyEpoch[me] = 0; flyCommits[me] = 0; flyID[me] = 0 } fi;
	if
#if defined(TRUST_COMMIT)
	:: goto stored_
#elif defined(FORGET_ID)
	:: d_step { fence(mine) -> knownCommits = commits }; goto accept
#else
	:: fence(mine) && newest == id -> goto stored_
	:: fence(mine) && newest != id -> goto accept
#endif
	:: !fence(mine) -> goto follow
	fi;
stored_:
	skip;
	d_step { knownStored[e] = 1; knownCommits++; acknowledged[e] = true; id = 0 };
	goto lead;

work:
	body = knownSealed[e];
	if
	:: body > 0
	:: body == 0 ->
		body = mine * RELAYS + me + 1; /* filters may decide otherwise than another relay's */
#ifndef SEND_UNSEALED
		if
		:: d_step { fence(mine) -> sealed[e] = body; knownSealed[e] = body }
		:: !fence(mine) -> goto follow
		fi
#endif
	fi;
	/* Nothing leaves without a lease. */
	if
	:: d_step { left[me] > 0 -> sending[me] = true }
	:: left[me] == 0 -> goto lead
	fi;
	if :: paused[me] = true :: skip fi; /* in the middle of it */
	if
	:: d_step { sending[me] ->
		assert(there[e] == 0 || there[e] == body); /* no two owners' payloads */
		there[e] = body }
	:: !sending[me] -> paused[me] = false; goto lead
	:: goto follow
	fi;
	d_step { sending[me] = false; paused[me] = false };
#ifdef SEND_UNSEALED
	if
	:: d_step { fence(mine) -> sealed[e] = body; knownSealed[e] = body }
	:: !fence(mine) -> goto follow
	fi;
#endif
	if
	:: d_step { fence(mine) -> assert(!recorded[e]); recorded[e] = true; knownRecorded[e] = true }; goto lead
	:: !fence(mine) -> goto follow
	fi
}

/* What a crashed relay had sent arrives late, or never. */
active proctype Network() {
end:	do
	:: flying[0] > 0 -> take(0)
	:: flying[1] > 0 -> take(1)
	od
}

/* No two relays send at once, but for one that was stopped; what is acknowledged is
   stored; an outcome is recorded of what arrived as it was sealed. */
active proctype Observer() {
end:	do
	:: d_step { sending[0] && sending[1] && !paused[0] && !paused[1] -> assert(false) }
	:: d_step { acknowledged[0] && stored[0] != 1 -> assert(false) }
	:: d_step { acknowledged[1] && stored[1] != 1 -> assert(false) }
	:: d_step { recorded[0] && (there[0] != sealed[0] || there[0] == 0) -> assert(false) }
	:: d_step { recorded[1] && (there[1] != sealed[1] || there[1] == 0) -> assert(false) }
	od
}
