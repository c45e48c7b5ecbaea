//! What is said of an option that there is not, or not here.

use proc_macro2::Ident;

/// How alike two words must be for the one to be taken for a slip of the other.
///
/// Every slip in the tests below is above, and no word that merely looks like an option.
const ALIKE: f64 = 0.75;

/// What other task queues have as an option, and how to say it here.
struct Elsewhere {
    names: &'static [&'static str],
    way_out: &'static str,
}

const ELSEWHERE: [Elsewhere; 13] = [
    Elsewhere {
        names: &["retries", "max_retries", "attempts"],
        way_out: "`max_attempts = 5` says how often a task is attempted at most, the first time included",
    },
    Elsewhere {
        names: &["backoff", "retry_delay", "retry_in"],
        way_out: "`retry = \"exponential(5s, 6h)\"` says how long a failed task waits, and `retry = my_backoff` names a \
                  function of the payload, the attempt's number and its error that says so",
    },
    Elsewhere {
        names: &[
            "unique_key",
            "unique_for",
            "dedupe",
            "singleton",
            "debounce",
        ],
        way_out: "`unique = \"payload\"`, `unique(fields(usr_id))` and `unique(within = \"1h\")` say that one task of \
                  each key may be there; an enqueue can name its key, or wait for quiet: \
                  `.unique_key(…)`, `.debounce(…)`",
    },
    Elsewhere {
        names: &["max_concurrency", "limit", "throttle", "rate_limit"],
        way_out: "`concurrency = 10` says how many tasks of the type run at once in all workers, \
                  `concurrency(5, key = tenant_id)` how many of each tenant, and `rate = \"100/min\"` how many start in a \
                  time",
    },
    Elsewhere {
        names: &["batch", "batch_size", "bulk"],
        way_out: "`#[batch(1000, \"50ms\")]` stands before the argument that is the payloads: \
                  `#[batch(1000, \"50ms\")] payloads: Vec<T>`",
    },
    Elsewhere {
        names: &["group", "callback", "on_complete"],
        way_out: "each enqueue says of which group its task is a member: `taskq::enqueue(&mut tx, …).group(group)`; tasks \
                  that are to run one after the other have a `sequence = order_id`",
    },
    Elsewhere {
        names: &["fifo", "chain", "ordered", "group_by"],
        way_out: "`sequence = order_id` says that tasks of one key run one after the other, in the order in which they \
                  were enqueued",
    },
    Elsewhere {
        names: &[
            "fairness",
            "round_robin",
            "partition",
            "partition_by",
            "tenant",
            "weight",
        ],
        way_out: "`fair = tenant_id` says that the keys of tasks take turns, so that no tenant waits behind another; an \
                  operator gives one of them more: `Operator::weight`",
    },
    Elsewhere {
        names: &["delay", "run_at", "run_in"],
        way_out: "each enqueue says when its task is due: `taskq::enqueue(&mut tx, …).delay(…)`",
    },
    Elsewhere {
        names: &[
            "on_failure",
            "on_exhausted",
            "on_death",
            "retries_exhausted",
        ],
        way_out: "`on_discard = told` names an `async fn` that runs in the transaction that discards a task",
    },
    Elsewhere {
        names: &["deadline", "retry_until", "retry_for"],
        way_out: "`give_up_after = \"2d\"` says for how long after it is due a task is retried and snoozed, and `expires = \"1h\"` \
                  for how long it is worth starting",
    },
    Elsewhere {
        names: &["ttl"],
        way_out: "`expires = \"1h\"` says for how long after it is due a task is worth starting",
    },
    Elsewhere {
        names: &["retention", "retain", "keep_completed", "prune_after"],
        way_out: "`keep = \"7d\"` says for how long completed tasks are kept, and `keep(discarded = \"30d\")` those of \
                  another outcome",
    },
];

/// Makes the error that there is no such option among those that may stand here.
pub(super) fn unknown(key: &Ident, names: &[&str]) -> syn::Error {
    let name = key.to_string();
    let elsewhere = ELSEWHERE.iter().find(|it| it.names.contains(&&*name));
    if let Some(Elsewhere { way_out, .. }) = elsewhere {
        let message = format!("there is no option `{name}`: {way_out}");
        return syn::Error::new_spanned(key, message);
    }
    let hint = match meant(&name, names) {
        Some(meant) => format!("did you mean `{meant}`? "),
        None => String::new(),
    };
    let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let list = list.join(", ");
    syn::Error::new_spanned(
        key,
        format!("unknown option `{name}`; {hint}the options are {list}"),
    )
}

/// Makes the error that the option stands in the wrong attribute.
pub(super) fn misplaced(key: &Ident) -> syn::Error {
    let message = match key.to_string().as_str() {
        name @ ("payload" | "derive") => {
            format!("`{name}` is for the struct that `#[task]` makes; this one is yours: remove it")
        }
        name => format!("`{name}` is about the handler: write it in the handler's `#[task]`"),
    };
    syn::Error::new_spanned(key, message)
}

fn meant<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .map(|known| (*known, strsim::jaro_winkler(name, known)))
        .filter(|(_, alike)| *alike >= ALIKE)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(known, _)| known)
}
