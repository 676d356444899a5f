"""Whether the schema registry has our schemas, and would take no change that breaks readers."""

from pathlib import Path

from pipeline.config import KafkaSettings
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.events.registry import Registry
from pipeline.events.releases import read_lock, read_release
from pipeline.events.releasing import check
from pipeline.kafka.topology_files import load_topics, subjects_of
from pipeline.observability.finding import Finding, Level
from pipeline.observability.redaction import redact
from pipeline.resources import resource_dir

LEVEL = "FULL_TRANSITIVE"
REGISTER = "pipeline schemas register"


async def examine_registry(kafka: KafkaSettings, folder: Path | None = None) -> list[Finding]:
    """The schema files against their releases, then the registry against both. Never raises for what is away."""
    folder = folder or resource_dir("avro")
    try:
        found = _files(folder)
        if not kafka.schema_registry_url:
            return [*found, Finding("registry", Level.OK, "none is set: schema ids come from the lock file")]
        return [*found, *await _ask(Registry(kafka.schema_registry_url), folder)]
    except (Unavailable, ConfigurationError) as error:
        remedy = "start it, or correct PIPELINE_KAFKA__SCHEMA_REGISTRY_URL"
        return [Finding("registry", Level.FAIL, redact(str(error)), remedy)]


def _files(folder: Path) -> list[Finding]:
    wrong = check(folder, subjects_of(load_topics()))
    if wrong:
        return [Finding("schemas", Level.FAIL, "; ".join(map(str, wrong)), "pipeline schemas check")]
    return [Finding("schemas", Level.OK, "every file is released and compatible with all of its releases")]


async def _ask(registry: Registry, folder: Path) -> list[Finding]:
    lock = read_lock(folder)
    missing, refused, loose = [], [], []
    for subject, record in lock.subjects.items():
        newest = read_release(folder, record, lock.schemas[record][-1])
        if await registry.lookup(subject, newest) is None:
            missing.append(subject)
            if not await registry.accepts(subject, newest):
                refused.append(subject)
        if (level := await registry.level(subject)) != LEVEL:
            loose.append(f"{subject} ({level})")
    found = [Finding("registry", Level.OK, f"answers at {registry.url}")]
    if refused:
        detail = f"would refuse our schema, what it has is incompatible: {', '.join(refused)}"
        found.append(
            Finding("registry schemas", Level.FAIL, detail, "was it filled by another project? see docs/upgrades.md")
        )
    elif missing:
        found.append(Finding("registry schemas", Level.FAIL, f"not registered: {', '.join(missing)}", REGISTER))
    else:
        found.append(Finding("registry schemas", Level.OK, f"all {len(lock.subjects)} subjects have our newest schema"))
    if loose:
        detail = f"others may register what breaks readers under {', '.join(loose)}"
        found.append(Finding("registry compatibility", Level.WARN, detail, f"{REGISTER} (it requires {LEVEL})"))
    else:
        found.append(Finding("registry compatibility", Level.OK, f"{LEVEL} everywhere"))
    return found
