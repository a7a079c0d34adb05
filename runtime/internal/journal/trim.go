package journal

// Trim removes the events below before permanently. It is no error if some are already removed.
// The disk space is freed some time later. The caller must ensure that nobody needs the events.
func (j *Journal) Trim(before uint64) error {
	if before <= j.Oldest() {
		return nil
	}
	_, err := j.Commit(&Tx{trim: before})
	return err
}

// trim puts the deletions into the batch. It deletes a frame once all its events are removed.
func (g *group) trim(before uint64) error {
	before = min(before, g.j.state.Load().next)
	if before <= g.state.oldest {
		return nil
	}
	boundary := before
	if before < g.j.state.Load().next {
		err := g.j.frames(before, before+1, func(f *frame) error {
			boundary = f.first
			return errStop
		})
		if err != nil {
			return err
		}
	}
	g.batch.DeleteRange(eventKey(0), eventKey(before))
	g.batch.DeleteRange(alsoKey(0, 0), sequenceKey(spaceAlso, before))
	g.batch.DeleteRange(frameKey(0), frameKey(boundary))
	g.trimIDs(before)
	g.state.oldest = before
	return nil
}
