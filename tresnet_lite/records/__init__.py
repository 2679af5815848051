"""Records: one JSON line for each measurement, with its provenance, in files that the store knows.

records      what a record is: what was measured, or why not
lines        the line that it is written as, with its version and its digest
version1     the lines of version 1, as today's
files        lines appended, read and repaired
selection    which records stand, and what several processes say together
provenance   the device, the versions, the commit and the process that a number comes from
nvidia_smi   what nvidia-smi reports about a GPU
device       whether a device is there, and what would help where it is not
store        where records lie: the committed ones and this machine's
text         what a field may hold, and how other text is brought to it
contribution whether a file of records may be committed
"""

from tresnet_lite.records.files import RecordError, append, failures, load, repair
from tresnet_lite.records.provenance import Provenance, collect
from tresnet_lite.records.records import Conditions, Failure, Record, Spread
from tresnet_lite.records.selection import latest

__all__ = ["Conditions", "Failure", "Provenance", "Record", "RecordError", "Spread"]
__all__ += ["append", "collect", "failures", "latest", "load", "repair"]
