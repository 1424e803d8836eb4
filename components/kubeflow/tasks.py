"""Each step as a KFP component. Only a body's source text is shipped, so it imports what it uses and holds no logic."""
# mypy: disable-error-code="misc, untyped-decorator, arg-type"

from kfp import dsl

from components.settings import load_settings

step = dsl.component(base_image=load_settings().kubeflow.image, install_kfp_package=False)  # the image holds kfp and this library


@step
def ingest(day: str) -> None:
    """Read every kind of raw log that arrived on the day."""
    from datetime import date

    from components import settings, steps

    steps.ingest(date.fromisoformat(day), settings.load_settings())


@step
def label(day: str) -> None:
    """Join the day's impressions with what followed them."""
    from datetime import date

    from components import settings, steps

    steps.label(date.fromisoformat(day), settings.load_settings())


@step
def validate(day: str) -> None:
    """Check the day against its suites."""
    from datetime import date

    from components import settings, steps

    steps.validate(date.fromisoformat(day), settings.load_settings())


@step
def relabel(day: str) -> None:
    """Label the earlier days that the day's events may still change again."""
    from datetime import date

    from components import settings, steps

    steps.relabel(date.fromisoformat(day), settings.load_settings())


@step
def aggregate(day: str) -> None:
    """Compute user and item features as of the end of the day."""
    from datetime import date

    from components import settings, steps

    steps.aggregate(date.fromisoformat(day), settings.load_settings())


@step
def attribute(day: str, name: str, bucket: int) -> None:
    """Find the outcomes of one bucket of users, for `label` or `relabel`."""
    from datetime import date

    from components import settings, sharing

    sharing.attribute(date.fromisoformat(day), settings.load_settings(), step=name, bucket=bucket)


@step
def lay(day: str, name: str, bucket: int) -> None:
    """Write a part of the files of samples, for `label` or `relabel`."""
    from datetime import date

    from components import settings, sharing

    sharing.lay(date.fromisoformat(day), settings.load_settings(), step=name, bucket=bucket)


@step
def prepare(day: str, bucket: int) -> None:
    """Sum up one bucket of users, for `aggregate`."""
    from datetime import date

    from components import settings, sharing

    sharing.prepare(date.fromisoformat(day), settings.load_settings(), bucket=bucket)


@step
def publish(day: str) -> None:
    """Write the day's features to Feast."""
    from datetime import date

    from components import settings, steps

    steps.publish(date.fromisoformat(day), settings.load_settings())


@step
def train(day: str) -> None:
    """Fine-tune yesterday's checkpoint."""
    from datetime import date

    from components import settings, steps

    steps.train(date.fromisoformat(day), settings.load_settings())


@step
def evaluate(day: str) -> None:
    """Compare challenger and champion on the day's holdout."""
    from datetime import date

    from components import settings, steps

    steps.evaluate(date.fromisoformat(day), settings.load_settings())


@step
def promote(day: str) -> None:
    """Let the gate decide on the day's challenger."""
    from datetime import date

    from components import settings, steps

    steps.promote(date.fromisoformat(day), settings.load_settings())
