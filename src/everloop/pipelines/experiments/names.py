"""Names for experiments that nobody named: an adjective and a noun, easy to say and to tell apart."""

from __future__ import annotations

import os
from collections.abc import Collection

_ADJECTIVES = """
able airy amber ample aqua arch avid azure bald bare basic big birch blithe bold bonny brave brief bright brisk
broad bronze brown calm candid careful chief chilly civil classy clean clear clever cool coral cosy crisp curly
cyan daring dear deep deft dense dewy direct dry dusky eager early earnest easy elder epic even exact fair famous
fancy fast fine firm fit fleet fluent flying fond frank free fresh frosty full funny gentle glad gleaming golden
good grand green hale handy happy hardy hazel hearty high honest humble icy ideal indigo ivory jade jaunty jolly
jovial just keen khaki kind large late lavish lean leafy light lilac lime little lively local lofty long loud
lovely loyal lucid lucky lunar mature mellow merry mighty mild mint misty modest mossy navy neat new nice nimble
noble novel oaken olive open opal orange patient peach pearl pink placid plain playful plucky polite proper proud
pure quick quiet rapid rare ready red regal rich ripe robust rosy round royal ruby rural rustic safe sage sandy
scarlet sea sharp shiny silent silken silver simple sincere sleek slow smart smooth snowy snug sober soft solar
solid sound spare spicy spry stable steady stout strong sturdy subtle sunny sure swift tall tame tan teal tender
thrifty tidy tiny tough true trusty urban valid vast velvet vivid warm wary wavy white whole wide wild wise witty
woody young zesty
"""
_NOUNS = """
acorn alder anchor anvil apple arrow aspen atlas badger bagel basil basin beacon bear beaver bee berry birch bison
bloom bluff boat brook butte cabin cactus canal canoe canyon cape cedar cello cherry chime cliff cloud clover
coast cobra comet copper coral cove crane creek crest cricket crow crystal cypress daisy dawn deer delta desert
dew dolphin dove drum dune eagle echo elk elm ember falcon fern ferry field fig finch fjord flame flute fog forest
forge fox frog garden gecko ginger glacier glade goose gorge grape grove gull hamlet harbor harp hawk hazel heath
heron hill hornet horse hyena ibis inlet iris island ivy jasmine jay juniper kayak kelp kestrel kite koala lagoon
lake lantern larch lark lemon lemur lily linden lion lizard llama lotus lynx magpie mango maple marlin marsh
meadow melon mesa meteor mint mole moon moose moth mule nectar newt oak oasis ocean olive onyx opal orca orchid
osprey otter owl palm panda papaya parrot peach pear pebble pelican pepper pier pigeon pine planet plum pond poppy
prairie puffin quail quartz quill rabbit radish rain raven reed reef ridge river robin rocket rose sail salmon
sequoia shark shell shore shrew sierra sky sloth snail snow sparrow spring spruce squid stag star stone stork
storm stream summit sun swan tapir teak tern thistle thrush thunder tiger toad topaz trail trout tulip tundra
turtle valley vine violet walnut walrus wave weasel whale willow wind wolf wombat wren yak yew zebra
"""
# After so many misses most names are taken, and a number is put behind.
_TRIES = 50


def new(taken: Collection[str]) -> str:
    """A name that is not taken.

    Drawn from the system: a project that seeds the generator of `random` would draw the same names every time.
    """
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    for _ in range(_TRIES):
        name = f"{_drawn(adjectives)}-{_drawn(nouns)}"
        if name not in taken:
            return name
    return next(name for name in (f"{name}-{number}" for number in range(2, 1 << 31)) if name not in taken)


def _drawn(words: list[str]) -> str:
    # So many bits that no word is drawn noticeably more often than another.
    return words[int.from_bytes(os.urandom(8)) % len(words)]
