"""What a request shows of itself and whom it trusts: tokens, certificates, fields that a cluster does not know."""

import logging
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from components.errors import ServiceError, SettingsError
from components.kubeflow import launch
from components.kubeflow.trainjob import render
from components.settings import Settings, load_settings
from tests.kubeflow import tls
from tests.kubeflow.conftest import submit, watch
from tests.kubeflow.stand_in import TOKEN, StandIn


def test_a_wrong_token_is_refused_at_once_and_no_token_is_told(
    cluster: StandIn, settings: Settings, second: date, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    name = submit(settings, second)
    file = settings.kubeflow.token_file
    cluster.at_look(2, partial(file.write_text, "another-token-to-hide"))
    with pytest.raises(SettingsError, match=r"status 401 \(Unauthorized\); put a valid token into kubeflow.token_file") as raised:
        watch(name, settings)
    cluster.complete()
    file.write_text(TOKEN)  # renewed: it is read at every request
    watch(name, settings)
    told = caplog.text + str(raised.value) + str(cluster.jobs)
    assert TOKEN not in told
    assert "another-token-to-hide" not in told


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), ("", "one line with a token"), ("a b", "one line"), ("t\u00f6ken", "UnicodeDecodeError")]
)
def test_a_file_without_a_token_is_said_by_name(settings: Settings, second: date, content: str | None, says: str, cluster: StandIn) -> None:
    file = settings.kubeflow.token_file
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(SettingsError, match=rf"kubeflow.token_file {file}: expected .*{says}"):
        submit(settings, second)
    assert not cluster.asked


def test_a_certificate_authority_that_cannot_be_read_is_said_by_name(
    settings: Settings, second: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESMM_KUBEFLOW__SERVER", settings.kubeflow.server.replace("http:", "https:"))
    monkeypatch.setenv("ESMM_KUBEFLOW__CA_FILE", str(tmp_path / "profile.toml"))
    with pytest.raises(SettingsError, match=r"kubeflow.ca_file .*profile.toml: expected certificates \(PEM\), found"):
        submit(load_settings(), second)


def test_the_certificate_of_the_server_is_verified(
    cluster: StandIn, settings: Settings, second: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings
    own, other = (tls.certificate(tmp_path / name) for name in ("own", "other"))
    cluster.speak_tls(own)
    monkeypatch.setenv("ESMM_KUBEFLOW__SERVER", cluster.url)
    monkeypatch.setenv("ESMM_KUBEFLOW__CA_FILE", str(other))
    with pytest.raises(ServiceError, match="CERTIFICATE_VERIFY_FAILED"):
        submit(load_settings(), second)
    assert not cluster.asked
    monkeypatch.setenv("ESMM_KUBEFLOW__CA_FILE", str(own))
    submit(load_settings(), second)
    assert cluster.made == 1


def test_a_field_that_the_cluster_does_not_know_is_refused_and_not_pruned(
    cluster: StandIn, settings: Settings, second: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = render(second, settings)
    other["spec"]["nodes"] = 2
    monkeypatch.setattr(launch, "render", lambda *_: other)
    with pytest.raises(SettingsError, match=r"status 422 \(TrainJob is invalid: .*'nodes' was unexpected\)\); look at the settings of"):
        submit(settings, second)
    assert not cluster.jobs
