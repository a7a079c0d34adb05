package format

import "fmt"

// The mapping to OCSF 1.8.0 as data. Captions and numbers are the schema's. A test compares
// these tables with docs/reference/formats.md.

// class is one of OCSF's classes.
type class struct {
	uid          int
	name         string
	category     int
	categoryName string
	activities   map[string]activity // by action of the event
}

// activity is one of a class's activities.
type activity struct {
	id   int
	name string
}

// Activities of every class besides its own: for an event without an action, and for an action
// without an activity in OCSF. The second is named after the action.
var (
	unknown = activity{0, "Unknown"}
	other   = activity{99, "Other"}
)

const (
	iam     = 3
	iamName = "Identity & Access Management"
)

// entityManagement is for keys, teams, models and settings. No class has an activity for a
// rotation, in which the key stays and its secret changes. It is "other" with the action's
// name.
var entityManagement = class{
	uid: 3004, name: "Entity Management", category: iam, categoryName: iamName,
	activities: map[string]activity{
		"created":   {1, "Create"},
		"updated":   {3, "Update"},
		"deleted":   {4, "Delete"},
		"unblocked": {8, "Enable"},
		"blocked":   {9, "Disable"},
		"rotated":   {99, "Rotate"},
	},
}

// accountChange is for users. It has no activity for a change of a user's fields.
var accountChange = class{
	uid: 3001, name: "Account Change", category: iam, categoryName: iamName,
	activities: map[string]activity{
		"created":   {1, "Create"},
		"unblocked": {2, "Enable"},
		"blocked":   {5, "Disable"},
		"deleted":   {6, "Delete"},
		"updated":   {99, "Update"},
		"rotated":   {99, "Rotate"},
	},
}

// baseEvent is for events without an object: records of guests, and tombstones.
var baseEvent = class{
	uid: 0, name: "Base Event", category: 0, categoryName: "Uncategorized",
	activities: map[string]activity{
		"created":   {99, "Create"},
		"updated":   {99, "Update"},
		"deleted":   {99, "Delete"},
		"unblocked": {99, "Enable"},
		"blocked":   {99, "Disable"},
		"rotated":   {99, "Rotate"},
	},
}

// object is what the rows of a table are: a user, or an entity of a type without a number in
// OCSF. A table that is not listed is an entity with the table's name as its type.
type object struct {
	class *class
	kind  string // type of the entity
}

var objects = map[string]object{
	"LiteLLM_UserTable":         {&accountChange, ""},
	"LiteLLM_VerificationToken": {&entityManagement, "API Key"},
	"LiteLLM_TeamTable":         {&entityManagement, "Team"},
	"LiteLLM_ProxyModelTable":   {&entityManagement, "Model"},
	"LiteLLM_OrganizationTable": {&entityManagement, "Organization"},
	"LiteLLM_ManagedFileTable":  {&entityManagement, "File"},
	"LiteLLM_ToolTable":         {&entityManagement, "Tool"},
	"LiteLLM_CacheConfig":       {&entityManagement, "Cache Settings"},
	"LiteLLM_Config":            {&entityManagement, "Settings"},
	"LiteLLM_ConfigOverrides":   {&entityManagement, "Settings Override"},
	"LiteLLM_SSOConfig":         {&entityManagement, "SSO Settings"},
	"LiteLLM_UISettings":        {&entityManagement, "UI Settings"},
}

// members are the parts of a record that depend on class and activity.
type members struct {
	begin string // up to the name of the activity
	name  string // name of the activity, quoted
	end   string
}

func newMembers(c *class, a activity) members {
	caption := a.name
	if a.id == other.id {
		caption = other.name
	}
	return members{
		begin: fmt.Sprintf(`"class_uid":%d,"class_name":"%s","category_uid":%d,"category_name":"%s","activity_id":%d,"activity_name":`,
			c.uid, c.name, c.category, c.categoryName, a.id),
		name: `"` + a.name + `"`,
		end:  fmt.Sprintf(`,"type_uid":%d,"type_name":"%s: %s","severity_id":1,"severity":"Informational"`, c.uid*100+a.id, c.name, caption),
	}
}

// written are the members of a class, computed once.
type written struct {
	of             *class
	known          map[string]members // by action
	unknown, other members
}

func write(c *class) *written {
	w := &written{of: c, known: map[string]members{}, unknown: newMembers(c, unknown), other: newMembers(c, other)}
	for action, a := range c.activities {
		w.known[action] = newMembers(c, a)
	}
	return w
}

var (
	entities = write(&entityManagement)
	accounts = write(&accountChange)
	bases    = write(&baseEvent)
	buried   = newMembers(&baseEvent, activity{99, "Tombstone"})
)
