"""Which of a pass's words are warnings: what -q must not keep from whoever waits for a content."""

from tests.unit.one_pass.stage import Stage


def test_that_the_feed_offers_no_snapshot_yet_is_a_warning(stage: Stage) -> None:
    """Nobody else says that there will be no content until it does."""
    stage.server.link = None
    stage.run()
    (event,) = [event for event in stage.log.events if event.name == "pass-ended"]
    assert (event.level, event.fields["outcome"]) == ("warning", "no-snapshot")
