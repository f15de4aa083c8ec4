package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

func TestParseWhatWasEncoded(t *testing.T) {
	for kind, e := range tell(t).good() {
		payload, err := e.Encode()
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		got, err := evidence.Parse(payload)
		if err != nil || !reflect.DeepEqual(e, got) {
			t.Errorf("%s: %v\nencoded %+v\nparsed  %+v", kind, err, e, got)
		}
	}
}

// Each member that cannot stand as it is, is named.
func TestFields(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	type (
		E = evidence.Event
		S = *story
	)
	frame := func(change func(*E)) func(S) E {
		return func(s S) E { return with(s.good()["exhibit.added"], change) }
	}
	for name, test := range map[string]struct {
		event func(S) E
		field string
	}{
		"no body":                   {frame(func(e *E) { e.Body = nil }), "body"},
		"no actor":                  {frame(func(e *E) { e.Actor = "" }), "actor"},
		"a name as actor":           {frame(func(e *E) { e.Actor = "Jane Doe" }), "actor"},
		"no time":                   {frame(func(e *E) { e.At = evidence.Time{} }), "at"},
		"id of version 4":           {frame(func(e *E) { e.ID[6] = 0x40 }), "id"},
		"id of another variant":     {frame(func(e *E) { e.ID[8] = 0xc0 }), "id"},
		"no salt":                   {frame(func(e *E) { e.Salt = digest.SHA256{} }), "salt"},
		"no log":                    {frame(func(e *E) { e.Log = "" }), "log"},
		"no tool":                   {frame(func(e *E) { e.Tool = "" }), "tool"},
		"long tool":                 {frame(func(e *E) { e.Tool = long }), "tool"},
		"tool on two lines":         {frame(func(e *E) { e.Tool = "a\nb" }), "tool"},
		"no case":                   {frame(func(e *E) { e.Case = evidence.CaseID{} }), "case"},
		"case where none belongs":   {func(s S) E { return with(s.good()["service.started"], func(e *E) { e.Case[0] = 1 }) }, "case"},
		"for a name":                {frame(func(e *E) { e.OnBehalfOf = &evidence.OnBehalfOf{Principal: "Jane", Method: "session"} }), "on_behalf_of.principal"},
		"for somebody, by a person": {frame(func(e *E) { e.OnBehalfOf = &evidence.OnBehalfOf{Principal: "examiner2", Method: "session"} }), "on_behalf_of"},
		"for somebody, somehow":     {frame(func(e *E) { e.OnBehalfOf = &evidence.OnBehalfOf{Principal: "jane"} }), "on_behalf_of.method"},
		"more than 48 KiB":          {func(s S) E { return edit(s, tooMuch) }, "payload"},
		"principal":                 {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Principal = "Jane" }) }, "body.principal"},
		"no key":                    {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Key = identity.PublicKey{} }) }, "body.key"},
		"no roles":                  {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Roles = nil }) }, "body.roles"},
		"unknown role":              {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Roles = identity.Roles{"king"} }) }, "body.roles"},
		"the service's role":        {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Roles = identity.Roles{"service"} }) }, "body.roles"},
		"roles in disorder": {func(s S) E {
			return edit(s, func(b *evidence.PersonEnrolled) { b.Roles = identity.Roles{"legal", "analyst"} })
		}, "body.roles"},
		"no name":                {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Name = "" }) }, "body.name"},
		"name that turns around": {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Name = "a\u202eb" }) }, "body.name"},
		"name that is not UTF-8": {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Name = "a\xff" }) }, "body.name"},
		"title":                  {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Title = long }) }, "body.title"},
		"organisation":           {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Organisation = long }) }, "body.organisation"},
		"badge":                  {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Badge = long }) }, "body.badge"},
		"revoked principal":      {func(s S) E { return edit(s, func(b *evidence.PersonRevoked) { b.Principal = "" }) }, "body.principal"},
		"revoked for no reason":  {func(s S) E { return edit(s, func(b *evidence.PersonRevoked) { b.Reason = "" }) }, "body.reason"},
		"no version":             {func(s S) E { return edit(s, func(b *evidence.ServiceStarted) { b.Version = "" }) }, "body.version"},
		"anchor of nothing":      {func(s S) E { return edit(s, func(b *evidence.CheckpointAnchored) { b.Size = 0 }) }, "body.size"},
		"anchor of no note":      {func(s S) E { return edit(s, func(b *evidence.CheckpointAnchored) { b.Note = digest.SHA256{} }) }, "body.note"},
		"anchor without tokens":  {func(s S) E { return edit(s, func(b *evidence.CheckpointAnchored) { b.Tokens = nil }) }, "body.tokens"},
		"an authority twice": {func(s S) E {
			return edit(s, func(b *evidence.CheckpointAnchored) { b.Tokens = slices.Repeat(b.Tokens[:1], 2) })
		}, "body.tokens[1].authority"},
		"an authority's path": {func(s S) E { return edit(s, func(b *evidence.CheckpointAnchored) { b.Tokens[0].Authority = "../x" }) }, "body.tokens[0].authority"},
		"a serial in hex":     {func(s S) E { return edit(s, func(b *evidence.CheckpointAnchored) { b.Tokens[0].Serial = "0x1" }) }, "body.tokens[0].serial"},
		"a token without a hash": {func(s S) E {
			return edit(s, func(b *evidence.CheckpointAnchored) { b.Tokens[0].SHA256 = digest.SHA256{} })
		}, "body.tokens[0].sha256"},
		"a token without a time": {func(s S) E {
			return edit(s, func(b *evidence.CheckpointAnchored) { b.Tokens[0].Time = evidence.Time{} })
		}, "body.tokens[0].time"},
		"unknown store":      {func(s S) E { return edit(s, func(b *evidence.ServiceStarted) { b.Store = "tape" }) }, "body.store"},
		"no bucket":          {func(s S) E { return edit(s, func(b *evidence.ServiceStarted) { b.Bucket = "" }) }, "body.bucket"},
		"unknown lock":       {func(s S) E { return edit(s, func(b *evidence.ServiceStarted) { b.Lock = "glue" }) }, "body.lock"},
		"empty row":          {func(s S) E { return edit(s, func(b *evidence.ServiceStarted) { b.Missing = []string{"a", ""} }) }, "body.missing[1]"},
		"many rows":          {func(s S) E { return edit(s, func(b *evidence.ServiceStarted) { b.Missing = make([]string, 101) }) }, "body.missing"},
		"reference":          {func(s S) E { return edit(s, func(b *evidence.CaseOpened) { b.Reference = "../x" }) }, "body.reference"},
		"case without title": {func(s S) E { return edit(s, func(b *evidence.CaseOpened) { b.Title = "" }) }, "body.title"},
		"empty jurisdiction": {func(s S) E { return edit(s, func(b *evidence.CaseOpened) { b.Jurisdictions = []string{""} }) }, "body.jurisdictions[0]"},
		"many jurisdictions": {func(s S) E { return edit(s, func(b *evidence.CaseOpened) { b.Jurisdictions = make([]string, 21) }) }, "body.jurisdictions"},
		"no retention":       {func(s S) E { return edit(s, func(b *evidence.CaseOpened) { b.RetainDays = 0 }) }, "body.retain_days"},
		"retention for ever": {func(s S) E {
			return edit(s, func(b *evidence.CaseOpened) { b.RetainDays = evidence.MaxRetainDays + 1 })
		}, "body.retain_days"},
		"closed for no reason": {func(s S) E { return edit(s, func(b *evidence.CaseClosed) { b.Reason = "" }) }, "body.reason"},
		"label":                {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Label = "E/1" }) }, "body.label"},
		"unknown kind":         {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Kind = "fish" }) }, "body.kind"},
		"long make":            {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Make = long }) }, "body.make"},
		"long model":           {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Model = long }) }, "body.model"},
		"serial with a NUL":    {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Serial = "a\x00" }) }, "body.serial"},
		"no finder":            {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.FoundBy = "" }) }, "body.found_by"},
		"no place":             {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.FoundAt = "" }) }, "body.found_at"},
		"long time":            {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.FoundOn = long }) }, "body.found_on"},
		"no witness":           {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Witness = "" }) }, "body.witness"},
		"long note":            {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Note = long }) }, "body.note"},
		"intake of version 4": {func(s S) E {
			return edit(s, func(b *evidence.IntakeDeclared) { b.Intake = uuid.UUID{6: 0x40, 8: 0x80} })
		}, "body.intake"},
		"exhibit":                  {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Exhibit = "" }) }, "body.exhibit"},
		"no file name":             {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Title = "" }) }, "body.title"},
		"negative size":            {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Size = -1 }) }, "body.size"},
		"too large":                {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Size = evidence.MaxContent + 1 }) }, "body.size"},
		"negative files":           {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Files = -1 }) }, "body.files"},
		"too many files":           {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Files = evidence.MaxFiles + 1 }) }, "body.files"},
		"no tool of acquisition":   {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Tool = "" }) }, "body.acquisition.tool"},
		"long command":             {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Command = long }) }, "body.acquisition.command"},
		"long source":              {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Source = long }) }, "body.acquisition.source"},
		"long write blocker":       {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.WriteBlocker = long }) }, "body.acquisition.write_blocker"},
		"no witness of it":         {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Witness = "" }) }, "body.acquisition.witness"},
		"long supervisor":          {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Supervisor = long }) }, "body.acquisition.supervisor"},
		"no place of it":           {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Place = "" }) }, "body.acquisition.place"},
		"long start":               {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Started = long }) }, "body.acquisition.started"},
		"long end":                 {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Ended = long }) }, "body.acquisition.ended"},
		"long result":              {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.Result = long }) }, "body.acquisition.result"},
		"negative sectors":         {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.BadSectors = -1 }) }, "body.acquisition.unread_sectors"},
		"more than 2^53-1 sectors": {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.BadSectors = 1 << 53 }) }, "body.acquisition.unread_sectors"},
		"log without name":         {func(s S) E { return edit(s, logFile(func(l *evidence.LogFile) { l.Name = "" })) }, "body.acquisition.log.name"},
		"log without hash":         {func(s S) E { return edit(s, logFile(func(l *evidence.LogFile) { l.SHA256 = digest.SHA256{} })) }, "body.acquisition.log.sha256"},
		"log too large":            {func(s S) E { return edit(s, logFile(func(l *evidence.LogFile) { l.Size = evidence.MaxLog + 1 })) }, "body.acquisition.log.size"},
		"abandoned for no reason":  {func(s S) E { return edit(s, func(b *evidence.IntakeAbandoned) { b.Reason = "" }) }, "body.reason"},
		"copy number":              {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Number = "M01" }) }, "body.number"},
		"no objects":               {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Objects = nil }) }, "body.objects"},
		"objects twice":            {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Objects = twice(b.Objects[:2]) }) }, "body.objects"},
		"too many objects":         {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Objects = twice(b.Objects) }) }, "body.objects"},
		"object of unknown role":   {func(s S) E { return edit(s, object("log", func(o *evidence.Object) { o.Role = "junk" })) }, "body.objects.role"},
		"object without bucket":    {func(s S) E { return edit(s, object("log", func(o *evidence.Object) { o.Bucket = "" })) }, "body.objects.bucket"},
		"object without key":       {func(s S) E { return edit(s, object("log", func(o *evidence.Object) { o.Key = "" })) }, "body.objects.key"},
		"object without version":   {func(s S) E { return edit(s, object("log", func(o *evidence.Object) { o.Version = "" })) }, "body.objects.version"},
		"object of unknown lock":   {func(s S) E { return edit(s, object("log", func(o *evidence.Object) { o.Lock = "glue" })) }, "body.objects.lock"},
		"object locked until when": {func(s S) E { return edit(s, object("log", func(o *evidence.Object) { o.RetainUntil = nil })) }, "body.objects.retain_until"},
		"object of negative size":  {func(s S) E { return edit(s, object("files", func(o *evidence.Object) { o.Size = -1 })) }, "body.objects.size"},
		"object of 2^53+1 bytes":   {func(s S) E { return edit(s, object("files", func(o *evidence.Object) { o.Size = 1<<53 + 1 })) }, "body.objects.size"},
		"object without hash":      {func(s S) E { return edit(s, object("files", func(o *evidence.Object) { o.SHA256 = digest.SHA256{} })) }, "body.objects.sha256"},
		"read from where":          {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.ReadSource = "memory" }) }, "body.read_source"},
		"quarantined for null":     {func(s S) E { return edit(s, func(b *evidence.CopyQuarantined) { b.Differed = nil }) }, "body.differed"},
		"too many strays":          {func(s S) E { return edit(s, strays(func(*evidence.CopyQuarantined) {}, 101)) }, "body.strays"},
		"stray of no line":         {func(s S) E { return edit(s, strays(func(b *evidence.CopyQuarantined) { b.Strays[0].Line = 0 }, 1)) }, "body.strays[0].line"},
		"strays of one line":       {func(s S) E { return edit(s, strays(func(b *evidence.CopyQuarantined) { b.Strays[1].Line = 1 }, 2)) }, "body.strays[1].line"},
		"stray without hash": {func(s S) E {
			return edit(s, strays(func(b *evidence.CopyQuarantined) { b.Strays[1].SHA256 = digest.SHA256{} }, 2))
		}, "body.strays[1].sha256"},
		"strays in all, none listed": {func(s S) E { return edit(s, strays(func(b *evidence.CopyQuarantined) { b.StraysTotal = 2 }, 0)) }, "body.strays_total"},
		"quarantined number":         {func(s S) E { return edit(s, func(b *evidence.CopyQuarantined) { b.Number = "X1" }) }, "body.number"},
		"request of what":            {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Of = "m1" }) }, "body.of"},
		"request for whom":           {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.To = "" }) }, "body.to"},
		"request for what":           {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Purpose = "" }) }, "body.purpose"},
		"request of no variant":      {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Intake[8] = 0 }) }, "body.intake"},
		"request of version 1":       {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Intake = uuid.UUID{6: 0x10} }) }, "body.intake"},
		"request from where":         {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Exhibit = " " }) }, "body.exhibit"},
		"issued number":              {func(s S) E { return edit(s, func(b *evidence.CopyIssued) { b.Number = "W0" }) }, "body.number"},
		"issued for whom":            {func(s S) E { return edit(s, func(b *evidence.CopyIssued) { b.To = "" }) }, "body.to"},
		"reading of what":            {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Number = "" }) }, "body.number"},
		"reading as verifying":       {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Operation = evidence.Verify }) }, "body.operation"},
		"reading from before":        {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Offset = -1 }) }, "body.offset"},
		"reading less than none":     {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Length = -1 }) }, "body.offset"},
		"reading beyond all":         {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Length = 1 << 62 }) }, "body.offset"},
		"received less than none":    {func(s S) E { return edit(s, func(b *evidence.CopyReceived) { b.Size = -1 }) }, "body.size"},
		"received from where":        {func(s S) E { return edit(s, func(b *evidence.CopyReceived) { b.Exhibit = "" }) }, "body.exhibit"},
		"returned in what state":     {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Outcome = "eaten" }) }, "body.outcome"},
		"returned without bytes":     {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.SHA256 = nil }) }, "body.sha256"},
		"deleted with bytes":         {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Outcome = evidence.Deleted }) }, "body.sha256"},
		"returned less than none":    {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Size = -1 }) }, "body.size"},
		"deleted, and so many bytes": {func(s S) E {
			return edit(s, func(b *evidence.CopyReturned) { b.Outcome, b.SHA256 = evidence.Deleted, nil })
		}, "body.size"},
		"returned with long note":          {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Note = long }) }, "body.note"},
		"checked with what result":         {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.Result = "fine" }) }, "body.result"},
		"checked from where":               {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.Source = "" }) }, "body.source"},
		"match without hash":               {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.SHA256 = nil }) }, "body.sha256"},
		"unreadable with hash":             {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.Result = evidence.Unreadable }) }, "body.sha256"},
		"mismatch without hash":            {func(s S) E { return edit(s, partly(nil, nil)) }, "body.sha256"},
		"mismatch without hash, all read":  {func(s S) E { return edit(s, partly(make([]evidence.Range, 1), nil)) }, "body.sha256"},
		"mismatch without hash, no damage": {func(s S) E { return edit(s, partly(nil, make([]evidence.Range, 1))) }, "body.sha256"},
		"match with damage": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) { b.Damaged = make([]evidence.Range, 1) })
		}, "body.damaged"},
		"match with what is unreadable": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) { b.Unreadable = make([]evidence.Range, 1) })
		}, "body.unreadable"},
		"unreadable with damage": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) {
				b.Result, b.SHA256, b.Damaged = evidence.Unreadable, nil, make([]evidence.Range, 1)
			})
		}, "body.damaged"},
		"match of what is gone": {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.Gone = true }) }, "body.gone"},
		"mismatch of what is gone": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) { b.Result, b.Gone = evidence.Mismatch, true })
		}, "body.gone"},
		"too many ranges": {func(s S) E { return edit(s, damaged(make([]evidence.Range, 101)...)) }, "body.damaged"},
		"too many unread": {func(s S) E {
			return edit(s, partly(make([]evidence.Range, 1), make([]evidence.Range, 101)))
		}, "body.unreadable"},
		"unread from before": {func(s S) E {
			return edit(s, partly(make([]evidence.Range, 1), []evidence.Range{{Offset: -1}}))
		}, "body.unreadable[0]"},
		"unread in all but not listed": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) { b.UnreadableTotal = 1 })
		}, "body.unreadable_total"},
		"damaged in all but few listed": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) { damaged(evidence.Range{})(b); b.DamagedTotal = 2 })
		}, "body.damaged_total"},
		"range from before":       {func(s S) E { return edit(s, damaged(evidence.Range{Offset: -1, Length: 1})) }, "body.damaged[0]"},
		"range of less than none": {func(s S) E { return edit(s, damaged(evidence.Range{}, evidence.Range{Length: -1})) }, "body.damaged[1]"},
		"range from 2^53+1":       {func(s S) E { return edit(s, damaged(evidence.Range{Offset: 1<<53 + 1})) }, "body.damaged[0]"},
		"fewer ranges in all":     {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.DamagedTotal = -1 }) }, "body.damaged_total"},
		"too many ranges in all":  {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.DamagedTotal = 1 << 53 }) }, "body.damaged_total"},
		"long detail":             {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.Detail = long }) }, "body.detail"},
		"denied for no reason":    {func(s S) E { return edit(s, func(b *evidence.AccessDenied) { b.Reason = "" }) }, "body.reason"},
		"denied what":             {func(s S) E { return edit(s, func(b *evidence.AccessDenied) { b.Operation = "steal" }) }, "body.operation"},
		"exported from where":     {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Contents[0].Exhibit = "" }) }, "body.exhibit"},
		"too many exported": {func(s S) E {
			return edit(s, func(b *evidence.CaseExported) { b.Contents = make([]evidence.CopyID, 201) })
		}, "body.contents"},
		"withheld for no reason":     {func(s S) E { return edit(s, withheld(evidence.Withheld{Entry: 1})) }, "body.withheld[0].reason"},
		"withheld for several lines": {func(s S) E { return edit(s, withheld(evidence.Withheld{Reason: "a\nb"})) }, "body.withheld[0].reason"},
		"withheld for a long reason": {func(s S) E { return edit(s, withheld(evidence.Withheld{Reason: strings.Repeat("x", 301)})) }, "body.withheld[0].reason"},
		"withheld before the first":  {func(s S) E { return edit(s, withheld(evidence.Withheld{Entry: -1, Reason: "r"})) }, "body.withheld[0].entry"},
		"withheld past 2^53":         {func(s S) E { return edit(s, withheld(evidence.Withheld{Entry: 1 << 53, Reason: "r"})) }, "body.withheld[0].entry"},
		"withheld twice": {func(s S) E {
			return edit(s, withheld(evidence.Withheld{Entry: 2, Reason: "r"}, evidence.Withheld{Entry: 2, Reason: "s"}))
		}, "body.withheld[1].entry"},
		"withheld in another order": {func(s S) E {
			return edit(s, withheld(evidence.Withheld{Entry: 2, Reason: "r"}, evidence.Withheld{Entry: 1, Reason: "r"}))
		}, "body.withheld[1].entry"},
		"too much withheld": {func(s S) E { return edit(s, withheld(manyWithheld(evidence.MaxWithheld+1)...)) }, "body.withheld"},
	} {
		t.Run(name, func(t *testing.T) {
			e := test.event(tell(t))
			payload, err := e.Encode()
			if !is(err, fieldErr(test.field)) {
				t.Errorf("error is %v, want one of %s", err, test.field)
			}
			if payload != nil {
				t.Error("there is a payload beside the error")
			}
		})
	}
}

// The bounds themselves are allowed.
func TestBounds(t *testing.T) {
	s := tell(t)
	for name, e := range map[string]evidence.Event{
		"jurisdictions":   edit(s, func(b *evidence.CaseOpened) { b.Jurisdictions = slices.Repeat([]string{"DE"}, 20) }),
		"shortest lock":   edit(s, func(b *evidence.CaseOpened) { b.RetainDays = 1 }),
		"longest lock":    edit(s, func(b *evidence.CaseOpened) { b.RetainDays = evidence.MaxRetainDays }),
		"no bytes":        edit(s, func(b *evidence.IntakeDeclared) { b.Size = 0 }),
		"most bytes":      edit(s, func(b *evidence.IntakeDeclared) { b.Size = evidence.MaxContent }),
		"most files":      edit(s, func(b *evidence.IntakeDeclared) { b.Files = evidence.MaxFiles }),
		"empty log":       edit(s, logFile(func(l *evidence.LogFile) { l.Size = 0 })),
		"longest log":     edit(s, logFile(func(l *evidence.LogFile) { l.Size = evidence.MaxLog })),
		"largest object":  edit(s, object("files", func(o *evidence.Object) { o.Size = evidence.MaxContent })),
		"read nothing":    edit(s, func(b *evidence.ContentRead) { b.Offset, b.Length = evidence.MaxContent, 0 }),
		"read everything": edit(s, func(b *evidence.ContentRead) { b.Offset, b.Length = 0, evidence.MaxContent }),
		"received all":    edit(s, func(b *evidence.CopyReceived) { b.Size = evidence.MaxContent }),
		"returned all":    edit(s, func(b *evidence.CopyReturned) { b.Size = evidence.MaxContent }),
		"ranges":          edit(s, damaged(make([]evidence.Range, evidence.MaxRanges)...)),
		"unread ranges":   edit(s, partly(make([]evidence.Range, 1), make([]evidence.Range, evidence.MaxRanges))),
		"gone": edit(s, func(b *evidence.FixityChecked) {
			b.Result, b.SHA256, b.Gone, b.Finding = evidence.Unreadable, nil, true, 3
		}),
		"range": edit(s, damaged(evidence.Range{Offset: evidence.MaxContent, Length: evidence.MaxContent})),
		"ranges in all": edit(s, func(b *evidence.FixityChecked) {
			damaged(make([]evidence.Range, evidence.MaxRanges)...)(b)
			b.DamagedTotal = 1<<53 - 1
		}),
		"strays":            edit(s, strays(func(b *evidence.CopyQuarantined) { b.StraysTotal = 1<<53 - 1 }, evidence.MaxRanges)),
		"exported":          edit(s, func(b *evidence.CaseExported) { b.Contents = slices.Repeat(b.Contents, 200) }),
		"pseudonymous":      edit(s, func(b *evidence.CaseExported) { b.Pseudonymous = true }),
		"withheld":          edit(s, withheld(manyWithheld(evidence.MaxWithheld)...)),
		"withheld why":      edit(s, withheld(evidence.Withheld{Entry: 1<<53 - 1, Reason: strings.Repeat("ä", 300)})),
		"missing":           edit(s, func(b *evidence.ServiceStarted) { b.Missing = slices.Repeat([]string{"x"}, 100) }),
		"longest title":     edit(s, func(b *evidence.CaseOpened) { b.Title = strings.Repeat("ä", 300) }),
		"two lines":         edit(s, func(b *evidence.CaseClosed) { b.Reason = "done\nand signed" }),
		"joined letters":    edit(s, func(b *evidence.CaseOpened) { b.Title = "\u0645\u06cc\u200c\u062e" }),
		"longest reference": edit(s, func(b *evidence.CaseOpened) { b.Reference = evidence.Name(strings.Repeat("x", 64)) }),
	} {
		if _, err := e.Encode(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func tooMuch(b *evidence.ServiceStarted) {
	b.Missing = nil
	for i := range 100 {
		b.Missing = append(b.Missing, strings.Repeat("é", 290)+fmt.Sprint(i))
	}
}

func damaged(ranges ...evidence.Range) func(*evidence.FixityChecked) {
	return func(b *evidence.FixityChecked) {
		sum := *b.SHA256
		sum[0]++
		b.Result, b.SHA256, b.Damaged, b.Finding = evidence.Mismatch, &sum, ranges, 3
	}
}

// partly is the verdict on a copy of which not all could be read.
func partly(damaged, unreadable []evidence.Range) func(*evidence.FixityChecked) {
	return func(b *evidence.FixityChecked) {
		b.Result, b.SHA256, b.Damaged, b.Unreadable, b.Finding = evidence.Mismatch, nil, damaged, unreadable, 3
	}
}

// strays lets the first files of a set be what its list does not say.
func strays(change func(*evidence.CopyQuarantined), n int) func(*evidence.CopyQuarantined) {
	return func(b *evidence.CopyQuarantined) {
		b.Strays = nil
		for i := range n {
			b.Strays = append(b.Strays, evidence.Stray{Line: i + 1, SHA256: b.Objects[0].SHA256})
		}
		change(b)
	}
}

func logFile(change func(*evidence.LogFile)) func(*evidence.IntakeDeclared) {
	return func(b *evidence.IntakeDeclared) {
		log := *b.Acquisition.Log
		change(&log)
		b.Acquisition.Log = &log
	}
}

func twice(list []evidence.Object) []evidence.Object { return slices.Concat(list, list) }

// A payload has one spelling.
func TestCanonicalForm(t *testing.T) {
	s := tell(t)
	encode := func(e evidence.Event) string {
		payload, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(payload)
	}
	exhibitAdded := encode(s.good()["exhibit.added"])
	sealed := encode(s.good()["copy.sealed"])
	opened := encode(s.good()["case.opened"])
	largest := encode(edit(s, func(b *evidence.IntakeDeclared) { b.Acquisition.BadSectors = 1<<53 - 1 }))
	notCanonical, unknown := evidence.ErrNotCanonical, evidence.ErrUnknownAction
	const payloadField, bodyField = fieldErr("payload"), fieldErr("body.payload")
	for name, test := range map[string]struct {
		base, old, new string
		want           error
	}{
		"as it was encoded":         {exhibitAdded, "", "", nil},
		"nothing":                   {"", "", "", payloadField},
		"null":                      {"null", "", "", fieldErr("v")},
		"array":                     {"[" + exhibitAdded + "]", "", "", fieldErr("")},
		"two":                       {exhibitAdded + exhibitAdded, "", "", notCanonical},
		"line break at the end":     {exhibitAdded + "\n", "", "", notCanonical},
		"space at the start":        {" " + exhibitAdded, "", "", notCanonical},
		"space in the middle":       {exhibitAdded, `,"actor"`, `, "actor"`, notCanonical},
		"byte order mark":           {"\ufeff" + exhibitAdded, "", "", payloadField},
		"not UTF-8":                 {exhibitAdded, `"desk"`, "\"des\xff\"", payloadField},
		"another order":             {exhibitAdded, `{"action":"exhibit.added","actor":"custodian1",`, `{"actor":"custodian1","action":"exhibit.added",`, notCanonical},
		"another order in the body": {exhibitAdded, `"found_at":"desk","found_by":"examiner1"`, `"found_by":"examiner1","found_at":"desk"`, notCanonical},
		"member twice":              {exhibitAdded, `"actor":"custodian1"`, `"actor":"custodian1","actor":"custodian1"`, notCanonical},
		"member twice, first other": {exhibitAdded, `"actor":"custodian1"`, `"actor":"admin","actor":"custodian1"`, notCanonical},
		"body member twice":         {exhibitAdded, `"kind":"disk"`, `"kind":"disk","kind":"disk"`, notCanonical},
		"capital member":            {exhibitAdded, `"actor"`, `"Actor"`, notCanonical},
		"capital body member":       {exhibitAdded, `"kind"`, `"KIND"`, notCanonical},
		"capital member beside it":  {exhibitAdded, `"actor":"custodian1"`, `"Actor":"admin","actor":"custodian1"`, notCanonical},
		"unknown member":            {exhibitAdded, `"actor"`, `"aaa":1,"actor"`, payloadField},
		"unknown body member":       {exhibitAdded, `"kind"`, `"colour":"red","kind"`, bodyField},
		"empty string":              {exhibitAdded, `"witness"`, `"make":"","witness"`, notCanonical},
		"null member":               {exhibitAdded, `,"witness"`, `,"make":null,"witness"`, notCanonical},
		"null instead of a person":  {exhibitAdded, `"salt"`, `"on_behalf_of":null,"salt"`, notCanonical},
		"empty list":                {opened, `"jurisdictions":["DE"]`, `"jurisdictions":[]`, notCanonical},
		"missing member":            {exhibitAdded, `"actor":"custodian1",`, ``, fieldErr("actor")},
		"missing body member":       {exhibitAdded, `"kind":"disk",`, ``, fieldErr("body.kind")},
		"escaped letter":            {exhibitAdded, `"desk"`, `"\u0064esk"`, notCanonical},
		"escaped solidus":           {exhibitAdded, `"log":"lab.example/`, `"log":"lab.example\/`, notCanonical},
		"escaped name of a member":  {exhibitAdded, `"actor"`, `"\u0061ctor"`, notCanonical},
		"capital escape":            {strings.Replace(exhibitAdded, `"desk"`, `"a\u001Fb"`, 1), "", "", fieldErr("body.found_at")},
		"lone high surrogate":       {exhibitAdded, `"desk"`, `"\ud800"`, notCanonical},
		"lone low surrogate":        {exhibitAdded, `"desk"`, `"\udc00x"`, notCanonical},
		"surrogates as escapes":     {exhibitAdded, `"desk"`, `"\ud83d\ude00"`, notCanonical},
		"replacement character":     {exhibitAdded, `"desk"`, "\"\ufffd\"", nil},
		"float":                     {exhibitAdded, `"v":1`, `"v":1.0`, fieldErr("v")},
		"exponent":                  {exhibitAdded, `"v":1`, `"v":1e0`, fieldErr("v")},
		"minus":                     {exhibitAdded, `"v":1`, `"v":-1`, fieldErr("v")},
		"number as text":            {exhibitAdded, `"v":1`, `"v":"1"`, fieldErr("v")},
		"later version":             {exhibitAdded, `"v":1`, `"v":2`, fieldErr("v")},
		"no version":                {exhibitAdded, `,"v":1`, ``, fieldErr("v")},
		"minus zero":                {opened, `"retain_days":30`, `"retain_days":-0`, fieldErr("body.retain_days")},
		"leading zero":              {opened, `"retain_days":30`, `"retain_days":030`, payloadField},
		"float in the body":         {opened, `"retain_days":30`, `"retain_days":30.0`, fieldErr("body.retain_days")},
		"exponent in the body":      {opened, `"retain_days":30`, `"retain_days":3e1`, fieldErr("body.retain_days")},
		"text in the body":          {opened, `"retain_days":30`, `"retain_days":"30"`, fieldErr("body.retain_days")},
		"2^53-1":                    {largest, "", "", nil},
		"2^53":                      {largest, "9007199254740991", "9007199254740992", fieldErr("body.acquisition.unread_sectors")},
		"2^53+1":                    {largest, "9007199254740991", "9007199254740993", fieldErr("body.acquisition.unread_sectors")},
		"2^63":                      {largest, "9007199254740991", "9223372036854775808", fieldErr("body.acquisition.unread_sectors")},
		"unknown action":            {exhibitAdded, "exhibit.added", "exhibit.eaten", unknown},
		"capital action":            {exhibitAdded, "exhibit.added", "Exhibit.added", unknown},
		"another body":              {exhibitAdded, "exhibit.added", "case.closed", bodyField},
		"capital hash":              {sealed, `"sha256":"`, `"SHA256":"`, bodyField},
		"capital hex":               {exhibitAdded, `"salt":"`, `"salt":"A`, payloadField},
		"UUID in braces":            {exhibitAdded, `"id":"` + s.idOf(exhibitAdded) + `"`, `"id":"{` + s.idOf(exhibitAdded) + `}"`, notCanonical},
		"UUID as URN":               {exhibitAdded, `"id":"`, `"id":"urn:uuid:`, notCanonical},
		"UUID without hyphens":      {exhibitAdded, s.idOf(exhibitAdded), strings.ReplaceAll(s.idOf(exhibitAdded), "-", ""), notCanonical},
		"capital UUID":              {exhibitAdded, s.idOf(exhibitAdded), strings.ToUpper(s.idOf(exhibitAdded)), notCanonical},
		"time in another zone":      {exhibitAdded, `000000Z"`, `000000+00:00"`, payloadField},
		"time in milliseconds":      {exhibitAdded, `000000Z"`, `000Z"`, payloadField},
		"exactly 48 KiB":            {padded(t, s, evidence.MaxPayload), "", "", nil},
		"a byte more":               {padded(t, s, evidence.MaxPayload) + " ", "", "", payloadField},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(test.base, test.old, test.new, 1)
			if text == test.base && test.old != "" {
				t.Fatalf("%q does not stand in the payload", test.old)
			}
			e, err := evidence.Parse([]byte(text))
			if !is(err, test.want) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
			if err != nil && !reflect.DeepEqual(e, evidence.Event{}) {
				t.Error("there is an event beside the error")
			}
		})
	}
}

// idOf finds the event's id in its payload.
func (*story) idOf(payload string) string {
	_, rest, _ := strings.Cut(payload, `"id":"`)
	return rest[:36]
}

// padded gives a payload of exactly that many bytes.
func padded(t *testing.T, s *story, size int) string {
	t.Helper()
	encode := func(pad int) string {
		payload, err := edit(s, func(b *evidence.ServiceStarted) {
			b.Missing = slices.Repeat([]string{strings.Repeat("é", 243)}, 99)
			b.Missing = append(b.Missing, strings.Repeat("é", pad/2)+strings.Repeat("x", 1+pad%2))
		}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(payload)
	}
	return encode(size - len(encode(0)))
}

// TestQuick: the short way reads every kind of event, as the long one does.
func TestQuick(t *testing.T) {
	for _, e := range tell(t).good() {
		payload, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, ok := evidence.Quick(payload)
		want, err := evidence.Carefully(payload)
		if !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v\n%s", e.Kind(), ok, err, payload)
		}
	}
}

// TestQuickTampered: whatever is done to a byte of a payload, what the short way takes (one
// in four is looked at) the long one takes too, for the same.
func TestQuickTampered(t *testing.T) {
	taken := 0
	for _, e := range tell(t).good() {
		payload, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		for at := range payload {
			before, after := string(payload[:at]), string(payload[at+1:])
			texts := []string{before + "\t" + string(payload[at:]), before + after}
			for _, b := range "\"\\0,}" {
				texts = append(texts, before+string(b)+after)
			}
			for _, text := range texts {
				got, ok := evidence.Quick([]byte(text))
				if !ok || text == string(payload) {
					continue
				}
				if taken++; taken%4 > 0 { // the long way is long
					continue
				}
				if want, err := evidence.Carefully([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s, changed at byte %d: %v\n%s", e.Kind(), at, err, text)
				}
			}
		}
	}
	if taken < 4000 {
		t.Errorf("%d other payloads were taken", taken)
	}
}

// What parses re-encodes to the same bytes, and the law never panics over it.
func FuzzParse(f *testing.F) {
	s := tell(f)
	for _, e := range s.good() {
		payload, err := e.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := evidence.Parse(payload)
		if careful, problem := evidence.Carefully(payload); len(payload) <= evidence.MaxPayload && utf8.Valid(payload) &&
			(!reflect.DeepEqual(e, careful) || (err == nil) != (problem == nil)) {
			t.Errorf("there are two readings: %v and %v", err, problem)
		}
		if err != nil {
			if !reflect.DeepEqual(e, evidence.Event{}) {
				t.Error("there is an event beside the error")
			}
			return
		}
		again, err := e.Encode()
		if err != nil || !bytes.Equal(again, payload) {
			t.Fatalf("%v\nparsed  %s\nencoded %s", err, payload, again)
		}
		if _, err := s.apply(e); err != nil && !lawful(err) {
			t.Fatalf("%s: %v", e.Kind(), err)
		}
	})
}

// lawful tells whether an error is one that Apply may give over a state that can
// be read.
func lawful(err error) bool {
	for _, sentinel := range []error{
		evidence.ErrForbidden, evidence.ErrStale, evidence.ErrNotFound, evidence.ErrExists, evidence.ErrDigestsDiffer, evidence.ErrHeld,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	_, field := errors.AsType[*evidence.FieldError](err)
	return field || is(err, errTransition)
}

func withheld(list ...evidence.Withheld) func(*evidence.CaseExported) {
	return func(b *evidence.CaseExported) { b.Withheld = list }
}

func manyWithheld(n int) []evidence.Withheld {
	list := make([]evidence.Withheld, n)
	for i := range list {
		list[i] = evidence.Withheld{Entry: int64(i), Reason: "privileged"}
	}
	return list
}
