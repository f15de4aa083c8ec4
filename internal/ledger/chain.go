package ledger

// Head is the end of a ledger: what the next entry has to follow.
type Head struct {
	Size int64 // number of entries, the next one's Seq
	Last Hash  // leaf hash of the newest entry, zero for an empty ledger
	Time Time  // of the newest entry
}

// After returns the head once e, whose leaf hash is leaf, has been appended.
func (h Head) After(e Envelope, leaf Hash) Head {
	return Head{Size: e.Seq + 1, Last: leaf, Time: e.Time}
}

// CaseHead is the end of the chain of one case.
type CaseHead struct {
	Size int64 // number of entries of the case, the next one's CaseSeq
	Last Hash  // leaf hash of the case's newest entry, zero when there is none
}

// After returns the head once e, whose leaf hash is leaf, has been appended.
func (h CaseHead) After(e Envelope, leaf Hash) CaseHead {
	return CaseHead{Size: e.CaseSeq + 1, Last: leaf}
}

// Next gives a draft its place at the end of the ledger: it sets Seq and Prev,
// CaseSeq and CasePrev, and moves Time up to the head's when the clock has gone
// back. caseHead is that of draft.Case. The other members are the caller's.
func Next(head Head, caseHead CaseHead, draft Envelope) Envelope {
	e := draft
	e.Seq, e.Prev = head.Size, head.Last
	e.CaseSeq, e.CasePrev = caseHead.Size, caseHead.Last
	e.Time = max(draft.Time, head.Time)
	return e
}
