//! The table of all options: a new one begins with a row here.

use proc_macro2::Ident;

use super::declared::{Options, Setting, Value};
use super::given::GivenOption;
use super::keep;
use super::limits;
use super::place::{Place, Subject};
use super::sequence;
use super::unique;
use super::unknown;
use super::values::{self, Said};

/// An option that there is.
pub(super) struct KnownOption {
    pub(super) name: &'static str,
    /// How it is written.
    pub(super) example: &'static str,
    subject: Subject,
    meaning: Meaning,
}

/// What becomes of an option's value.
enum Meaning {
    /// It is given to a method of the option's name: see [`Setting`].
    Method(fn(&GivenOption) -> syn::Result<Value>),
    /// It is given to a method of the option's name, or it names a function: see [`Options::function`].
    MethodOrFunction(fn(&GivenOption) -> syn::Result<Said>),
    /// The macro itself needs it.
    Special(fn(&mut Options, &GivenOption) -> syn::Result<()>),
}

static KNOWN: [KnownOption; 34] = [
    KnownOption {
        name: "name",
        example: "name = \"mail.welcome\"",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            values::name(given).map(|it| options.name = Some(it))
        }),
    },
    KnownOption {
        name: "alias",
        example: "alias = \"old_name\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| {
            values::names(given).map(|it| options.aliases = it)
        }),
    },
    KnownOption {
        name: "queue",
        example: "queue = \"mail\"",
        subject: Subject::Payload,
        meaning: Meaning::Method(values::queue),
    },
    KnownOption {
        name: "priority",
        example: "priority = -5",
        subject: Subject::Payload,
        meaning: Meaning::Method(values::priority),
    },
    KnownOption {
        name: "max_attempts",
        example: "max_attempts = 5",
        subject: Subject::Payload,
        meaning: Meaning::Method(values::at_least_one),
    },
    KnownOption {
        name: "unique",
        example: "unique(fields(usr_id))",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            unique::read(given).map(|it| options.unique = Some(it))
        }),
    },
    KnownOption {
        name: "expires",
        example: "expires = \"1h\"",
        subject: Subject::Payload,
        meaning: Meaning::Method(values::duration),
    },
    KnownOption {
        name: "concurrency",
        example: "concurrency = 10",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            limits::concurrency(given).map(|it| options.concurrency = Some(it))
        }),
    },
    KnownOption {
        name: "rate",
        example: "rate = \"100/min\"",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            limits::rate(given).map(|it| options.rate = Some(it))
        }),
    },
    KnownOption {
        name: "sequence",
        example: "sequence = order_id",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            sequence::read(given).map(|it| options.sequence = Some(it))
        }),
    },
    KnownOption {
        name: "on_dead",
        example: "on_dead = \"skip\"",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            sequence::on_dead(given).map(|it| options.on_dead = Some(it))
        }),
    },
    KnownOption {
        name: "fair",
        example: "fair = tenant_id",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            limits::fair(given).map(|it| options.fair = Some(it))
        }),
    },
    KnownOption {
        name: "encrypted",
        example: "encrypted = \"payload\"",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            values::encrypted(given).map(|it| options.encrypted = Some(it))
        }),
    },
    KnownOption {
        name: "timeout",
        example: "timeout = \"30s\"",
        subject: Subject::Handler,
        meaning: Meaning::MethodOrFunction(values::timeout),
    },
    KnownOption {
        name: "retry",
        example: "retry = \"exponential(5s, 6h)\"",
        subject: Subject::Handler,
        meaning: Meaning::MethodOrFunction(values::retry),
    },
    KnownOption {
        name: "max_snoozes",
        example: "max_snoozes = 100",
        subject: Subject::Handler,
        meaning: Meaning::Method(values::at_least_one),
    },
    KnownOption {
        name: "give_up_after",
        example: "give_up_after = \"2d\"",
        subject: Subject::Handler,
        meaning: Meaning::Method(values::duration),
    },
    KnownOption {
        name: "on_discard",
        example: "on_discard = told_the_customer",
        subject: Subject::Handler,
        meaning: Meaning::MethodOrFunction(values::function),
    },
    KnownOption {
        name: "order",
        example: "order = \"random\"",
        subject: Subject::Handler,
        meaning: Meaning::Method(values::order),
    },
    KnownOption {
        name: "cron",
        example: "cron = \"0 3 * * *\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| options.schedule.read_cron(given)),
    },
    KnownOption {
        name: "timezone",
        example: "timezone = \"Europe/Zurich\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| options.schedule.read_timezone(given)),
    },
    KnownOption {
        name: "catch_up",
        example: "catch_up = \"all\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| options.schedule.read_catch_up(given)),
    },
    KnownOption {
        name: "catch_up_within",
        example: "catch_up_within = \"1d\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| options.schedule.read_catch_up_within(given)),
    },
    KnownOption {
        name: "overlap",
        example: "overlap = \"skip\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| options.schedule.read_overlap(given)),
    },
    KnownOption {
        name: "jitter",
        example: "jitter = \"30s\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| options.schedule.read_jitter(given)),
    },
    KnownOption {
        name: "keep",
        example: "keep = \"7d\"",
        subject: Subject::Handler,
        meaning: Meaning::Method(|given| keep::read(given).map(Value::Keep)),
    },
    KnownOption {
        name: "result",
        example: "result = \"keep\"",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| {
            values::keep(given).map(|()| options.keeps_result = true)
        }),
    },
    KnownOption {
        name: "result",
        example: "result = Receipt",
        subject: Subject::Returned,
        meaning: Meaning::Special(|options, given| {
            values::result(given).map(|it| options.result = Some(it))
        }),
    },
    KnownOption {
        name: "version",
        example: "version = 2",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            values::version(given).map(|it| options.version = Some(it))
        }),
    },
    KnownOption {
        name: "upgrade",
        example: "upgrade = from_v1",
        subject: Subject::Payload,
        meaning: Meaning::Special(|options, given| {
            values::upgrades(given).map(|it| options.upgrades = it)
        }),
    },
    KnownOption {
        name: "handles",
        example: "handles = contracts::SendEmailWelcome",
        subject: Subject::Handler,
        meaning: Meaning::Special(|options, given| {
            values::handles(given).map(|it| options.handles = Some(it))
        }),
    },
    KnownOption {
        name: "payload",
        example: "payload = SendEmailWelcome",
        subject: Subject::Struct,
        meaning: Meaning::Special(|options, given| {
            values::ident(given).map(|it| options.payload = Some(it))
        }),
    },
    KnownOption {
        name: "derive",
        example: "derive(Clone, PartialEq)",
        subject: Subject::Struct,
        meaning: Meaning::Special(|options, given| {
            values::derives(given).map(|it| options.derives = it)
        }),
    },
    KnownOption {
        name: "crate",
        example: "crate = ::taskq",
        subject: Subject::Crate,
        meaning: Meaning::Special(|options, given| {
            values::krate(given).map(|it| options.krate = Some(it))
        }),
    },
];

/// Finds the option of this name that may stand here.
pub(super) fn find(key: &Ident, place: Place) -> syn::Result<&'static KnownOption> {
    let mut called_so = KNOWN.iter().filter(|known| key == known.name).peekable();
    if called_so.peek().is_none() {
        let here = KNOWN.iter().filter(|it| it.subject.may_stand_in(place));
        let names: Vec<_> = here.map(|known| known.name).collect();
        return Err(unknown::unknown(key, &names));
    }
    called_so
        .find(|known| known.subject.may_stand_in(place))
        .ok_or_else(|| unknown::misplaced(key))
}

impl KnownOption {
    /// Reads the value, and adds it to what the options say.
    pub(super) fn read(&self, given: GivenOption, options: &mut Options) -> syn::Result<()> {
        let read = match self.meaning {
            Meaning::Method(read) => read(&given).map(|value| self.add(value, options)),
            Meaning::MethodOrFunction(read) => read(&given).map(|said| match said {
                Said::Value(value) => self.add(value, options),
                Said::Function(path) => options.functions.push((self.name, path)),
            }),
            Meaning::Special(read) => read(options, &given),
        };
        options.keys.push((given.key, self.subject));
        read
    }

    fn add(&self, value: Value, options: &mut Options) {
        options.settings.push(Setting {
            subject: self.subject,
            name: self.name,
            value,
        });
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    fn said_of(word: &str) -> String {
        let found = find(&Ident::new(word, Span::call_site()), Place::Task);
        found
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_slip_is_recognized() {
        for (slip, known) in [
            ("que", "queue"),
            ("quueue", "queue"),
            ("prio", "priority"),
            ("max_attempt", "max_attempts"),
            ("timout", "timeout"),
            ("aliases", "alias"),
            ("derives", "derive"),
        ] {
            let said = said_of(slip);
            assert!(said.contains(&format!("did you mean `{known}`?")), "{said}");
        }
    }

    #[test]
    fn another_word_is_not_taken_for_a_slip() {
        for word in ["kind", "attempts", "backoff"] {
            assert!(!said_of(word).contains("did you mean"), "{word}");
        }
    }

    #[test]
    fn what_other_queues_call_an_option_is_explained() {
        for (word, way_out) in [
            ("retries", "`max_attempts = 5` says"),
            ("unique_for", "`unique(within = \"1h\")`"),
            ("backoff", "`retry = \"exponential(5s, 6h)\"`"),
            ("max_concurrency", "`concurrency = 10` says"),
            ("rate_limit", "`rate = \"100/min\"`"),
            ("fifo", "`sequence = order_id`"),
            ("round_robin", "`fair = tenant_id`"),
            ("delay", ".delay(…)"),
        ] {
            let said = said_of(word);
            assert!(said.starts_with(&format!("there is no option `{word}`: ")));
            assert!(said.contains(way_out), "{said}");
        }
    }

    #[test]
    fn an_option_that_there_is_has_no_other_explanation() {
        for known in &KNOWN {
            assert_eq!(said_of(known.name), "", "{}", known.name);
        }
    }
}
