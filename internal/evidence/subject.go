package evidence

import "github.com/google/uuid"

// Subject is what an event concerns; members it does not have are zero.
type Subject struct {
	Exhibit Name
	Number  Number
	Intake  uuid.UUID
}

// SubjectOf tells what an event concerns within its case.
func SubjectOf(e Event) Subject {
	switch b := e.Body.(type) {
	case PayloadErased: // what the erased one concerned
		if left, err := b.Left(); err == nil {
			return SubjectOf(left)
		}
	case ExhibitAdded:
		return Subject{Exhibit: b.Label}
	case IntakeDeclared:
		return Subject{Exhibit: b.Exhibit, Intake: b.Intake}
	case IntakeAbandoned:
		return Subject{Intake: b.Intake}
	case CopySealed:
		return Subject{b.Exhibit, b.Number, b.Intake}
	case CopyQuarantined:
		return Subject{b.Exhibit, b.Number, b.Intake}
	case CopyRequested:
		return Subject{Exhibit: b.Exhibit, Number: b.Of, Intake: b.Intake}
	case CopyIssued:
		return Subject{b.Exhibit, b.Number, b.Intake}
	case ContentRead:
		return Subject{Exhibit: b.Exhibit, Number: b.Number}
	case CopyReceived:
		return Subject{Exhibit: b.Exhibit, Number: b.Number}
	case CopyReturned:
		return Subject{Exhibit: b.Exhibit, Number: b.Number}
	case FixityChecked:
		return Subject{Exhibit: b.Exhibit, Number: b.Number}
	case AccessDenied:
		return Subject{Exhibit: b.Exhibit, Number: b.Number}
	}
	return Subject{}
}
