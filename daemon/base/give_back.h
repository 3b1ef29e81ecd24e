/* Memory that is not needed any more goes back to the system: what the allocator keeps for later, and the pages of programs
 * and libraries that only a start or a burst has used. Those are read-only, and come back from the file by themselves where
 * they are touched again, so this costs some page faults and nothing else. A few hundred microseconds; not for every turn. */
#pragma once

void memory_give_back(void);
