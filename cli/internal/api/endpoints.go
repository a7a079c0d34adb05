package api

import "encoding/json"

// The endpoints. docs/reference lists them with their roles.
var (
	GetHealth  = Endpoint[None, Health]{"GET", "/healthz"}
	GetReady   = Endpoint[None, Readiness]{"GET", "/readyz"} // ?verbose
	GetMetrics = Endpoint[None, Raw]{"GET", "/metrics"}
	GetVersion = Endpoint[None, Version]{"GET", "/v1/version"}
	GetCaller  = Endpoint[None, Principal]{"GET", "/v1/principal"}

	PostEvents    = Endpoint[Raw, Submitted]{"POST", "/v1/events"} // ?atomic
	PostHook      = Endpoint[Raw, Submitted]{"POST", "/v1/hooks/{name}"}
	GetHook       = Endpoint[None, Raw]{"GET", "/v1/hooks/{name}"} // a producer's challenge
	GetEvent      = Endpoint[EventQuery, Explained]{"GET", "/v1/events/{id}"}
	GetProofs     = Endpoint[ProofQuery, []EventProof]{"GET", "/v1/proofs"} // ?id=
	FindEvent     = Endpoint[EventQuery, Explained]{"GET", "/v1/events"}    // ?id=, for ids that cannot be in a path
	GetReceipts   = Endpoint[ReceiptQuery, Lines[Receipt]]{"GET", "/v1/receipts"}
	GetTap        = Endpoint[TapQuery, Lines[TapLine]]{"GET", "/v1/tap"}
	GetStored     = Endpoint[StoredQuery, Stored]{"GET", "/v1/stored"}
	GetStats      = Endpoint[None, Stats]{"GET", "/v1/stats"}
	GetSources    = Endpoint[None, []Source]{"GET", "/v1/sources"}
	LookUps       = Endpoint[LookUp, LookedUp]{"POST", "/v1/pseudonyms"}
	PostReconcile = Endpoint[Reconcile, Lines[ReconcileLine]]{"POST", "/v1/reconcile"}

	GetCallbacks   = Endpoint[None, []CallbackStatus]{"GET", "/v1/callbacks"}
	GetCallback    = Endpoint[None, CallbackStatus]{"GET", "/v1/callbacks/{name}"}
	PauseCallback  = Endpoint[Why, CallbackStatus]{"POST", "/v1/callbacks/{name}/pause"}
	ResumeCallback = Endpoint[Why, CallbackStatus]{"POST", "/v1/callbacks/{name}/resume"}
	DetachCallback = Endpoint[Why, CallbackStatus]{"POST", "/v1/callbacks/{name}/detach"}
	AttachCallback = Endpoint[Why, CallbackStatus]{"POST", "/v1/callbacks/{name}/attach"}
	ReplayCallback = Endpoint[Replay, ReplayStarted]{"POST", "/v1/callbacks/{name}/replay"}
	CancelReplay   = Endpoint[Why, CallbackStatus]{"DELETE", "/v1/callbacks/{name}/replays/{id}"}
	TestCallback   = Endpoint[Why, SinkTest]{"POST", "/v1/callbacks/{name}/test"}
	GetDeliveries  = Endpoint[DeliveryQuery, Deliveries]{"GET", "/v1/deliveries"}

	GetDeadLetters     = Endpoint[DeadLetterQuery, []DeadLetter]{"GET", "/v1/callbacks/{name}/dead-letters"}
	GetDeadLetter      = Endpoint[None, DeadLetter]{"GET", "/v1/callbacks/{name}/dead-letters/{sequence}"}
	DiscardDeadLetters = Endpoint[DeadLetters, Changed]{"POST", "/v1/callbacks/{name}/dead-letters/discard"}
	ReplayDeadLetters  = Endpoint[DeadLetterReplay, DeadLetterReplayed]{"POST", "/v1/callbacks/{name}/dead-letters/replay"}
	GetDeadReplays     = Endpoint[None, []DeadReplayJob]{"GET", "/v1/dead-letter-replays"}
	CancelDeadReplay   = Endpoint[Why, DeadReplayJob]{"DELETE", "/v1/dead-letter-replays/{id}"}

	GetQuarantine      = Endpoint[QuarantineQuery, []QuarantineItem]{"GET", "/v1/quarantine"}
	GetQuarantined     = Endpoint[None, QuarantineContents]{"GET", "/v1/quarantine/{number}"}
	ReplayQuarantine   = Endpoint[QuarantineChange, QuarantineChanged]{"POST", "/v1/quarantine/replay"}
	DeleteQuarantine   = Endpoint[QuarantineChange, QuarantineChanged]{"POST", "/v1/quarantine/delete"}
	ReplaceQuarantined = Endpoint[Raw, QuarantineChanged]{"POST", "/v1/quarantine/{number}/replay"} // with a Why in the query

	GetPolicies      = Endpoint[None, []PolicyInForce]{"GET", "/v1/policies"}
	GetPolicy        = Endpoint[None, KeptText]{"GET", "/v1/policies/{digest}"}
	GetConfig        = Endpoint[None, KeptText]{"GET", "/v1/configurations/{digest}"}
	GetPolicyHistory = Endpoint[None, []KeptText]{"GET", "/v1/policy-history"}
	PostPolicyDiff   = Endpoint[PolicyDiff, PolicyChange]{"POST", "/v1/policies/diff"}
	PostTry          = Endpoint[Try, []Tried]{"POST", "/v1/try"}

	StartShadows   = Endpoint[StartShadow, Shadow]{"POST", "/v1/shadows"}
	GetShadows     = Endpoint[None, []Shadow]{"GET", "/v1/shadows"}
	GetShadow      = Endpoint[None, Shadow]{"GET", "/v1/shadows/{callback}"}
	UseShadow      = Endpoint[Why, ShadowUsed]{"POST", "/v1/shadows/{callback}/use"}
	DropShadow     = Endpoint[Why, Changed]{"DELETE", "/v1/shadows/{callback}"}
	StartRollouts  = Endpoint[StartRollout, Rollout]{"POST", "/v1/rollouts"}
	GetRollouts    = Endpoint[None, []Rollout]{"GET", "/v1/rollouts"}
	PromoteRollout = Endpoint[Why, Rollout]{"POST", "/v1/rollouts/{name}/promote"}
	RollBack       = Endpoint[Why, Rollout]{"POST", "/v1/rollouts/{name}/rollback"}

	SetPolicy = Endpoint[UsePolicy, PolicyUsed]{"POST", "/v1/filters/{name}/policy"}

	PostBackup = Endpoint[Why, BackedUp]{"POST", "/v1/backup"}
	PostReload = Endpoint[Why, Reloaded]{"POST", "/v1/reload"}

	GetAudit       = Endpoint[None, AuditPage]{"GET", "/audit"} // the parameters are LiteLLM's
	GetAuditLog    = Endpoint[None, json.RawMessage]{"GET", "/audit/{id}"}
	GetAuditExport = Endpoint[None, Raw]{"GET", "/audit/export"}
	GetSearches    = Endpoint[None, []SavedSearch]{"GET", "/v1/searches"}
	SaveSearches   = Endpoint[SaveSearch, SavedSearch]{"POST", "/v1/searches"}
	ForgetSearches = Endpoint[ForgetSearch, Changed]{"DELETE", "/v1/searches"}
	RebuildStore   = Endpoint[Rebuild, Rebuilt]{"POST", "/v1/store/rebuild"}

	PushModule       = Endpoint[Raw, Pushed]{"POST", "/v1/modules"} // with a PushQuery in the query
	GetModules       = Endpoint[None, []Module]{"GET", "/v1/modules"}
	InspectModule    = Endpoint[None, Inspection]{"GET", "/v1/modules/{digest}"}
	CheckModules     = Endpoint[CheckModule, ModuleChecked]{"POST", "/v1/modules/{digest}/check"}
	GetModuleContent = Endpoint[None, Raw]{"GET", "/v1/modules/{digest}/content"}
	DeleteModule     = Endpoint[Why, StoredModule]{"DELETE", "/v1/modules/{digest}"}
	GetFilters       = Endpoint[None, []Filter]{"GET", "/v1/filters"}
	UseModule        = Endpoint[Use, Used]{"POST", "/v1/filters/{name}/module"}
	ResetBreaker     = Endpoint[Why, Changed]{"POST", "/v1/filters/{name}/reset"}

	GetFleet     = Endpoint[None, Fleet]{"GET", "/v1/fleet"}
	DrainRelay   = Endpoint[Why, Fleet]{"POST", "/v1/fleet/{name}/drain"}
	UndrainRelay = Endpoint[Why, Fleet]{"POST", "/v1/fleet/{name}/undrain"}

	GetApprovals = Endpoint[None, []Approval]{"GET", "/v1/approvals"}
	PostApprove  = Endpoint[Why, Approval]{"POST", "/v1/approvals/{id}/approve"}
	PostReject   = Endpoint[Why, Approval]{"POST", "/v1/approvals/{id}/reject"}

	GetControl = Endpoint[ControlQuery, ControlRecords]{"GET", "/v1/control"}

	GetCompleteness = Endpoint[CompletenessQuery, Completeness]{"GET", "/v1/completeness"}
	PostVerified    = Endpoint[VerifyReport, Verified]{"POST", "/v1/verifications"}

	GetKeyring    = Endpoint[None, []Period]{"GET", "/v1/keyring"}
	DestroyPeriod = Endpoint[DestroyQuery, Period]{"DELETE", "/v1/keyring/{period}"}
)
