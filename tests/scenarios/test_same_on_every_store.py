"""One long story ends in the same content, offset and command log whatever the store is."""

from ctisync.core.model import Consumer
from ctisync.errors import Blocked, CommandNotAccepted, FeedRefused
from tests.support.feed_history import churn, populate
from tests.support.world import World

# The story is the same to the byte on every store; a store that ends elsewhere has lost something.
DIGEST = "690cf42ce0a4f8891b8ce7c1094163b4c8d58293eebab70cc6653d214a2d30f8"


def test_initialise_update_poison_recovery_owed_command_and_a_feed_gone_back(world: World) -> None:
    world.consumer = Consumer(world.consumer.context, world.consumer.name, world.consumer.index)
    history = world.feed.history
    populate(history, 80)
    world.feed.publish_snapshot()
    churn(history, 3200)
    assert world.run() is None  # initialise, and four ranges
    assert world.holds()

    churn(history, 700, seed=2)
    poison = history.poison(history.names()[5])
    churn(history, 400, seed=3)
    assert isinstance(world.run(), Blocked)
    assert world.holds(poison - 1)
    history.mend(poison)
    world.manager.fail(500)
    assert isinstance(world.run(), CommandNotAccepted)  # recovered, and the command is owed
    assert world.holds()
    assert world.run() is None

    world.feed.reset(first_offset=10)
    populate(world.feed.history, 50, first=200)
    world.feed.publish_snapshot()
    assert isinstance(world.run(), FeedRefused)
    assert world.run("init-snapshot") is None
    churn(world.feed.history, 120, seed=4)
    assert world.run() is None
    assert world.holds()
    assert world.digest() == DIGEST
