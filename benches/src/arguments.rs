//! What the command line says.

use anyhow::{Context, Result, bail, ensure};

use crate::modes::{GROUPS, PAGES, PRUNE};

pub const HELP: &str = "\
Measures taskq beside its peers and beside bare SQL, on a Postgres of its own.

  --quick          one round of each, and less of it: minutes in place of hours
  --only A,B       these groups only: drain, insert, bulk, latency, growth, limits,
                   order, batch, pages; prune, only where it is named
  --systems A,B    these systems only, by the beginning of their names
  --rounds N       how often each measurement is taken
  --situation S    of all these, only what has S in its name; of pages only with --only pages;
                   of a sweep, only what has S in what it says is done
  --sweep NAME     the drains of one system at many of its settings, and nothing else:
                   taskq, riverqueue, \"riverqueue, tx\", awa,
                   graphile_worker, apalis-postgres
  --rows N         how many finished tasks prune has; 20,000,000 unless said
  --stream SECONDS how long the stream of growth lasts
  --keep NAME      use the server of this name, which stays, and the tables that an
                   earlier run has filled there for pages
  --why            say where the time of drains, inserts and latencies went
  --json           a line of JSON for each measurement, in place of the tables
  --chart FILE     write the chart of the drain and the inserts there, as SVG; measures nothing
                   else, unless --only says what to measure";

#[derive(Debug, Default)]
pub struct Arguments {
    pub quick: bool,
    pub only: Vec<String>,
    pub systems: Vec<String>,
    pub rounds: Option<usize>,
    pub situation: Option<String>,
    pub sweep: Option<String>,
    pub stream: Option<u64>,
    pub rows: Option<u64>,
    pub keep: Option<String>,
    pub why: bool,
    pub json: bool,
    pub chart: Option<String>,
}

impl Arguments {
    /// Reads the arguments; `None` if help was asked for.
    pub fn read(mut given: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut arguments = Self::default();
        while let Some(name) = given.next() {
            let mut value = || {
                given
                    .next()
                    .with_context(|| format!("{name} needs a value"))
            };
            match name.as_str() {
                "--quick" => arguments.quick = true,
                "--keep" => arguments.keep = Some(value()?),
                "--why" => arguments.why = true,
                "--json" => arguments.json = true,
                "--only" => arguments.only = list(&value()?),
                "--systems" => arguments.systems = list(&value()?),
                "--rounds" => arguments.rounds = Some(value()?.parse().context("--rounds")?),
                "--situation" => arguments.situation = Some(value()?),
                "--sweep" => arguments.sweep = Some(value()?),
                "--stream" => arguments.stream = Some(value()?.parse().context("--stream")?),
                "--rows" => arguments.rows = Some(value()?.parse().context("--rows")?),
                "--chart" => arguments.chart = Some(value()?),
                "--help" | "-h" => return Ok(None),
                other => bail!("unknown argument `{other}`\n\n{HELP}"),
            }
        }
        for group in &arguments.only {
            ensure!(
                GROUPS.contains(&group.as_str()),
                "there is no group `{group}`; there are {}",
                GROUPS.join(", ")
            );
        }
        ensure!(arguments.rounds != Some(0), "--rounds must be at least 1");
        Ok(Some(arguments))
    }

    pub fn wants_group(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == group)
    }

    /// Whether only what the chart shows is measured.
    pub fn wants_chart_alone(&self) -> bool {
        self.chart.is_some() && self.only.is_empty()
    }

    pub fn wants_situation(&self, mode: &str) -> bool {
        let wanted = self.situation.as_deref();
        wanted.is_none_or(|wanted| mode.contains(wanted))
    }

    /// Whether pages are measured at all. A situation is about their names only where their group was asked for.
    pub fn wants_pages(&self) -> bool {
        !self.wants_chart_alone()
            && self.wants_group(PAGES)
            && (!self.only.is_empty() || self.situation.is_none())
    }

    /// Whether pruning is measured, which fills gigabytes: only where it was asked for.
    pub fn wants_prune(&self) -> bool {
        self.only.iter().any(|only| only == PRUNE)
    }

    pub fn wants_system(&self, name: &str) -> bool {
        self.systems.is_empty()
            || self
                .systems
                .iter()
                .any(|only| name.starts_with(only.as_str()))
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(|it| it.trim().to_owned()).collect()
}
