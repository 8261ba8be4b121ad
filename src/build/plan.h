/* Inside of build/ only: steps and places against the chip and the memory map, and how they stand in the content. */
#pragma once

#include "build/recipe.h"

typedef struct {
    ImpYaml *yaml;
    ImpRecipe *recipe;
    const ImpDevice *device;
    const ImpSegment *segments; /* of all data */
    gsize n_segments;
} ImpPlan;

/* Faults: a step that the chip cannot do, a range that cuts a sector or erases what was programmed before, a place that is
 * not all over its data. */
void imp_plan_check(const ImpPlan *plan);

/* Fills the content's steps and finally; the recipe's steps lose what they point to. No fault was found before. */
void imp_plan_take_steps(const ImpPlan *plan, ImpContent *content);
