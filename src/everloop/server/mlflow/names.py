"""Names for runs that were given none, as MLflow's server gives them: an adjective, a noun and a number."""

from __future__ import annotations

import random

_ADJECTIVES = (
    "able agile amber ample autumn bold brave bright brisk calm candid clear clever cosmic crisp curious deep eager"
    " early fair fast fleet fond free fresh gentle glad golden grand happy hardy honest humble jolly keen kind lively"
    " loyal lucid lucky mellow merry mighty misty modest neat nimble noble patient placid polite proud quick quiet"
    " rapid serene sharp silent silver sincere sleek smart smooth spry steady stellar still sturdy sunny swift tender"
    " tidy upbeat valiant vivid warm wise witty zesty"
)
_NOUNS = (
    "ant auk badger bat bear beaver bee bison boar bream carp cat cod colt condor crab crane crow cub deer dove duck"
    " eagle eel elk falcon fawn finch fish fox frog gnat goat goose grouse gull hare hawk hen heron hound ibis jay kite"
    " koi lamb lark lion lynx mare midge mink mole moose moth mouse newt otter owl ox panda perch pike pony quail rat"
    " ray rook seal shad shark shrew skink slug snail snipe sparrow squid stag stork swan tern toad trout vole wasp"
    " whale wolf wren yak zebra"
)


def random_run_name() -> str:
    return f"{random.choice(_ADJECTIVES.split())}-{random.choice(_NOUNS.split())}-{random.randrange(1000)}"
