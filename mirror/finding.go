package mirror

// Finding is what a [Verifier] finds at the key of a picture. The set is closed: [Findings].
type Finding string

// The findings; what each means stands in [Findings].
const (
	Whole           Finding = "whole"
	Unrecorded      Finding = "unrecorded"
	Missing         Finding = "missing"
	Foreign         Finding = "foreign"
	Swapped         Finding = "swapped"
	Truncated       Finding = "truncated"
	Changed         Finding = "changed"
	SourceDiffers   Finding = "source_differs"
	OtherTask       Finding = "other_task"
	OtherDefinition Finding = "other_definition"
)

// Repair is what a Verifier with Repair does about a finding.
type Repair string

const (
	// RepairNone: it is right.
	RepairNone Repair = ""
	// RepairMirrors: as [Worker.Mirror] does of itself, which looks again before it puts.
	RepairMirrors Repair = "mirrors it"
	// RepairReplaces: the picture is fetched and put, whatever is there and says that it is the right one.
	RepairReplaces Repair = "replaces it"
	// RepairLeaves: what is there may be somebody's right picture.
	RepairLeaves Repair = "leaves it"
)

// FindingInfo is a row of [Findings].
type FindingInfo struct {
	Finding Finding
	Repair  Repair
	Meaning string // for an operator
}

// Right says that nothing is wrong.
func (f FindingInfo) Right() bool { return f.Repair == RepairNone }

// Findings is the one table of what a verification can find. The README's table is tested against it.
var Findings = []FindingInfo{
	{Whole, RepairNone, "there, with the record and the size that it should have; with --read, its checksum is the recorded one and it is a whole picture; with --source, its bytes are the origin's"},
	{Unrecorded, RepairNone, "as whole, but stored by a version that recorded no size and no checksum: without --read or --source, its content is not judged"},
	{Missing, RepairMirrors, "there is no object"},
	{Foreign, RepairReplaces, "the object carries no record of ours: somebody else has put it there, or its metadata are lost or damaged"},
	{Swapped, RepairReplaces, "the object's record is of another picture, whose key is another: objects were copied over each other or renamed"},
	{Truncated, RepairReplaces, "the object is smaller than recorded or, with --read, its picture has no end"},
	{Changed, RepairReplaces, "the object is larger than recorded or, with --read or --source, has another checksum or is no picture"},
	{SourceDiffers, RepairReplaces, "only with --source: the object is as recorded, but the origin has another picture at the URL now"},
	{OtherTask, RepairLeaves, "the object is the picture of another task than the event's: one of the two is a re-take, and which is newer the events don't tell; backfill the one that is to be there"},
	{OtherDefinition, RepairLeaves, "the key holds the picture of another definition (key_conflict): add {definition} to --key-template"},
}

// Info is the finding's row in [Findings].
func (f Finding) Info() FindingInfo {
	for _, info := range Findings {
		if info.Finding == f {
			return info
		}
	}
	return FindingInfo{Finding: f, Repair: RepairLeaves}
}
