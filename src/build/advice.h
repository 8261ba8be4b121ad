/* Inside of build/ only: what is allowed in a recipe, but perhaps not meant. Warnings go to the ImpYaml (base/yaml.h) and make nothing
 * fail. Thread rule: one thread. */
#pragma once

#include "build/recipe.h"

/* Of a recipe without faults: a value in a hole of a file, numbers that are written nowhere or do not suffice for a release, data that
 * locks the chip, a job that no cloud can deliver. Segments are sorted. */
void imp_recipe_advise(ImpYaml *yaml, const ImpRecipe *recipe, const ImpDevice *device,
                       const ImpSegment *segments, gsize n_segments);
