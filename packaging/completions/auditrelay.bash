_auditrelay() {
  local cur="${COMP_WORDS[COMP_CWORD]}" path="" next words i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="${path:+$path }${COMP_WORDS[i]}"
    case "$next" in
    "serve"|"validate"|"config"|"config translate"|"send"|"callbacks"|"callbacks list"|"callbacks pause"|"callbacks resume"|"callbacks detach"|"callbacks attach"|"dead-letter"|"dead-letter list"|"dead-letter show"|"dead-letter discard"|"dead-letter replay"|"quarantine"|"quarantine list"|"quarantine show"|"quarantine replay"|"quarantine delete"|"replay"|"explain"|"audit"|"audit list"|"audit show"|"audit export"|"store"|"store rebuild"|"receipts"|"reconcile"|"try"|"guest"|"guest new"|"guest inspect"|"guest pack"|"guest test"|"guest profile"|"guest conformance"|"module"|"module push"|"module list"|"module inspect"|"module get"|"module delete"|"module use"|"module filters"|"module reset"|"policy"|"policy list"|"policy show"|"policy diff"|"pseudonym"|"keyring"|"keyring list"|"keyring destroy"|"reload"|"backup"|"backup make"|"backup verify"|"restore"|"journal"|"journal recover"|"migrate"|"version"|"completion") path="$next" ;;
    esac
  done
  case "$path" in
    "") words="serve validate config send callbacks dead-letter quarantine replay explain audit store receipts reconcile try guest module policy pseudonym keyring reload backup restore journal migrate version completion --help" ;;
    "serve") words="--help --config --listen --data-dir --memory-limit --address-file" ;;
    "validate") words="--help --online --timeout --json" ;;
    "config") words="translate --help" ;;
    "config translate") words="--help" ;;
    "send") words="--help --server --token-file --ca --client-cert --client-key --resume --rejects --patience --json" ;;
    "callbacks") words="list pause resume detach attach --help" ;;
    "callbacks list") words="--help --server --token-file --ca --client-cert --client-key --json --watch --every" ;;
    "callbacks pause") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "callbacks resume") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "callbacks detach") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "callbacks attach") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "dead-letter") words="list show discard replay --help" ;;
    "dead-letter list") words="--help --server --token-file --ca --client-cert --client-key --after --limit --json" ;;
    "dead-letter show") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "dead-letter discard") words="--help --server --token-file --ca --client-cert --client-key --all --json" ;;
    "dead-letter replay") words="--help --server --token-file --ca --client-cert --client-key --all --json" ;;
    "quarantine") words="list show replay delete --help" ;;
    "quarantine list") words="--help --server --token-file --ca --client-cert --client-key --reason --source --after --limit --json" ;;
    "quarantine show") words="--help --server --token-file --ca --client-cert --client-key --raw --json" ;;
    "quarantine replay") words="--help --server --token-file --ca --client-cert --client-key --all --reason --source --json --edit" ;;
    "quarantine delete") words="--help --server --token-file --ca --client-cert --client-key --all --reason --source --json --yes" ;;
    "replay") words="--help --server --token-file --ca --client-cert --client-key --callback --from --to --dry-run --emit --json" ;;
    "explain") words="--help --server --token-file --ca --client-cert --client-key --namespace --data --json" ;;
    "audit") words="list show export --help" ;;
    "audit list") words="--help --server --token-file --ca --client-cert --client-key --id --changed-by --changed-by-api-key --action --table-name --object-id --start-date --end-date --sort-by --sort-order --limit --cursor --json" ;;
    "audit show") words="--help --server --token-file --ca --client-cert --client-key" ;;
    "audit export") words="--help --server --token-file --ca --client-cert --client-key --id --changed-by --changed-by-api-key --action --table-name --object-id --start-date --end-date --sort-by --sort-order --format --output --ending" ;;
    "store") words="rebuild --help" ;;
    "store rebuild") words="--help --server --token-file --ca --client-cert --client-key --dry-run --json" ;;
    "receipts") words="--help --server --token-file --ca --client-cert --client-key --callback --from --to --id --namespace --json" ;;
    "reconcile") words="--help --server --token-file --ca --client-cert --client-key --from --to --repair --json" ;;
    "try") words="--help --server --token-file --ca --client-cert --client-key --config --callback --stored --from --limit --json" ;;
    "guest") words="new inspect pack test profile conformance --help" ;;
    "guest new") words="--help --lang" ;;
    "guest inspect") words="--help --json" ;;
    "guest pack") words="--help --output" ;;
    "guest test") words="--help --update --json" ;;
    "guest profile") words="--help --times --top --json" ;;
    "guest conformance") words="--help --json" ;;
    "module") words="push list inspect get delete use filters reset --help" ;;
    "module push") words="--help --server --token-file --ca --client-cert --client-key --name --filter --json" ;;
    "module list") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "module inspect") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "module get") words="--help --server --token-file --ca --client-cert --client-key --output" ;;
    "module delete") words="--help --server --token-file --ca --client-cert --client-key" ;;
    "module use") words="--help --server --token-file --ca --client-cert --client-key --previous --configured --json" ;;
    "module filters") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "module reset") words="--help --server --token-file --ca --client-cert --client-key" ;;
    "policy") words="list show diff --help" ;;
    "policy list") words="--help" ;;
    "policy show") words="--help" ;;
    "policy diff") words="--help --server --token-file --ca --client-cert --client-key --events --stored --from --limit --show --json" ;;
    "pseudonym") words="--help --server --token-file --ca --client-cert --client-key --value-file --callback --key --json" ;;
    "keyring") words="list destroy --help" ;;
    "keyring list") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "keyring destroy") words="--help --server --token-file --ca --client-cert --client-key --with-dead-letters --yes --json" ;;
    "reload") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "backup") words="make verify --help" ;;
    "backup make") words="--help --server --token-file --ca --client-cert --client-key --json" ;;
    "backup verify") words="--help" ;;
    "restore") words="--help" ;;
    "journal") words="recover --help" ;;
    "journal recover") words="--help --config --data-dir --yes --json" ;;
    "migrate") words="--help" ;;
    "version") words="--help --json" ;;
    "completion") words="--help" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _auditrelay auditrelay
