_auditrelay() {
  local cur="${COMP_WORDS[COMP_CWORD]}" path="" next words i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="${path:+$path }${COMP_WORDS[i]}"
    case "$next" in
    "serve"|"validate"|"config"|"config translate"|"send"|"callbacks"|"callbacks list"|"callbacks show"|"callbacks pause"|"callbacks resume"|"callbacks detach"|"callbacks attach"|"sink"|"sink test"|"deliveries"|"dead-letter"|"dead-letter list"|"dead-letter show"|"dead-letter discard"|"dead-letter replay"|"dead-letter jobs"|"dead-letter cancel"|"quarantine"|"quarantine list"|"quarantine show"|"quarantine replay"|"quarantine delete"|"replay"|"explain"|"audit"|"audit list"|"audit show"|"audit export"|"store"|"store rebuild"|"prove"|"verify-proof"|"receipts"|"receipts list"|"receipts check"|"reconcile"|"try"|"guest"|"guest new"|"guest inspect"|"guest pack"|"guest test"|"guest profile"|"guest conformance"|"module"|"module push"|"module list"|"module inspect"|"module get"|"module delete"|"module use"|"module filters"|"module reset"|"detectors"|"detectors list"|"detectors show"|"detectors test"|"policy"|"policy list"|"policy show"|"policy diff"|"pseudonym"|"verify"|"proof"|"proof keygen"|"proof public"|"keyring"|"keyring list"|"keyring destroy"|"reload"|"backup"|"backup make"|"backup verify"|"restore"|"journal"|"journal recover"|"migrate"|"version"|"completion") path="$next" ;;
    esac
  done
  case "$path" in
    "") words="serve validate config send callbacks sink deliveries dead-letter quarantine replay explain audit store prove verify-proof receipts reconcile try guest module detectors policy pseudonym verify proof keyring reload backup restore journal migrate version completion --help --version" ;;
    "serve") words="--help --version --config --listen --data-dir --memory-limit --address-file" ;;
    "validate") words="--help --version --config --online --timeout --json" ;;
    "config") words="translate --help --version" ;;
    "config translate") words="--help --version" ;;
    "send") words="--help --version --server --token-file --ca --client-cert --client-key --resume --rejects --patience --json" ;;
    "callbacks") words="list show pause resume detach attach --help --version" ;;
    "callbacks list") words="--help --version --server --token-file --ca --client-cert --client-key --json --watch --every --silent-after" ;;
    "callbacks show") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "callbacks pause") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "callbacks resume") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "callbacks detach") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "callbacks attach") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "sink") words="test --help --version" ;;
    "sink test") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "deliveries") words="--help --version --server --token-file --ca --client-cert --client-key --state --event --namespace --after --limit --attempts --json" ;;
    "dead-letter") words="list show discard replay jobs cancel --help --version" ;;
    "dead-letter list") words="--help --version --server --token-file --ca --client-cert --client-key --after --limit --json" ;;
    "dead-letter show") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "dead-letter discard") words="--help --version --server --token-file --ca --client-cert --client-key --all --json" ;;
    "dead-letter replay") words="--help --version --server --token-file --ca --client-cert --client-key --all --cause --filter --action --table --id --from --to --rate --dry-run --json" ;;
    "dead-letter jobs") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "dead-letter cancel") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "quarantine") words="list show replay delete --help --version" ;;
    "quarantine list") words="--help --version --server --token-file --ca --client-cert --client-key --reason --source --after --limit --json" ;;
    "quarantine show") words="--help --version --server --token-file --ca --client-cert --client-key --raw --json" ;;
    "quarantine replay") words="--help --version --server --token-file --ca --client-cert --client-key --all --reason --source --json --edit" ;;
    "quarantine delete") words="--help --version --server --token-file --ca --client-cert --client-key --all --reason --source --json --yes" ;;
    "replay") words="--help --version --server --token-file --ca --client-cert --client-key --callback --from --to --dry-run --emit --json" ;;
    "explain") words="--help --version --server --token-file --ca --client-cert --client-key --namespace --data --json" ;;
    "audit") words="list show export --help --version" ;;
    "audit list") words="--help --version --server --token-file --ca --client-cert --client-key --id --changed-by --changed-by-api-key --action --table-name --object-id --start-date --end-date --sort-by --sort-order --limit --cursor --json" ;;
    "audit show") words="--help --version --server --token-file --ca --client-cert --client-key" ;;
    "audit export") words="--help --version --server --token-file --ca --client-cert --client-key --id --changed-by --changed-by-api-key --action --table-name --object-id --start-date --end-date --sort-by --sort-order --format --output --ending" ;;
    "store") words="rebuild --help --version" ;;
    "store rebuild") words="--help --version --server --token-file --ca --client-cert --client-key --dry-run --json" ;;
    "prove") words="--help --version --server --token-file --ca --client-cert --client-key --namespace --callback --out" ;;
    "verify-proof") words="--help --version --key --document --json" ;;
    "receipts") words="list check --help --version" ;;
    "receipts list") words="--help --version --server --token-file --ca --client-cert --client-key --callback --from --to --id --namespace --json" ;;
    "receipts check") words="--help --version --server --token-file --ca --client-cert --client-key --key --namespace --callback" ;;
    "reconcile") words="--help --version --server --token-file --ca --client-cert --client-key --from --to --repair --json" ;;
    "try") words="--help --version --server --token-file --ca --client-cert --client-key --config --callback --stored --from --limit --json" ;;
    "guest") words="new inspect pack test profile conformance --help --version" ;;
    "guest new") words="--help --version --lang" ;;
    "guest inspect") words="--help --version --json" ;;
    "guest pack") words="--help --version --output" ;;
    "guest test") words="--help --version --update --json" ;;
    "guest profile") words="--help --version --times --top --json" ;;
    "guest conformance") words="--help --version --json" ;;
    "module") words="push list inspect get delete use filters reset --help --version" ;;
    "module push") words="--help --version --server --token-file --ca --client-cert --client-key --name --filter --json" ;;
    "module list") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "module inspect") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "module get") words="--help --version --server --token-file --ca --client-cert --client-key --output" ;;
    "module delete") words="--help --version --server --token-file --ca --client-cert --client-key" ;;
    "module use") words="--help --version --server --token-file --ca --client-cert --client-key --previous --configured --json" ;;
    "module filters") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "module reset") words="--help --version --server --token-file --ca --client-cert --client-key" ;;
    "detectors") words="list show test --help --version" ;;
    "detectors list") words="--help --version --config --json --group" ;;
    "detectors show") words="--help --version --config --json" ;;
    "detectors test") words="--help --version --config --json --detectors" ;;
    "policy") words="list show diff --help --version" ;;
    "policy list") words="--help --version" ;;
    "policy show") words="--help --version --server --token-file --ca --client-cert --client-key" ;;
    "policy diff") words="--help --version --server --token-file --ca --client-cert --client-key --events --stored --from --limit --show --json" ;;
    "pseudonym") words="--help --version --server --token-file --ca --client-cert --client-key --value-file --callback --key --json" ;;
    "verify") words="--help --version --key --pin --from --save-pin --endpoint --region --faults --json" ;;
    "proof") words="keygen public --help --version" ;;
    "proof keygen") words="--help --version --name --out" ;;
    "proof public") words="--help --version" ;;
    "keyring") words="list destroy --help --version" ;;
    "keyring list") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "keyring destroy") words="--help --version --server --token-file --ca --client-cert --client-key --with-dead-letters --yes --json" ;;
    "reload") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "backup") words="make verify --help --version" ;;
    "backup make") words="--help --version --server --token-file --ca --client-cert --client-key --json" ;;
    "backup verify") words="--help --version" ;;
    "restore") words="--help --version" ;;
    "journal") words="recover --help --version" ;;
    "journal recover") words="--help --version --config --data-dir --yes --json" ;;
    "migrate") words="--help --version" ;;
    "version") words="--help --version --json" ;;
    "completion") words="--help --version" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _auditrelay auditrelay
