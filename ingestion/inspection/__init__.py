"""Data inspection: what is wrong with a table and its labels before a model flatters itself.

inspection = inspect_table(Path("payments.csv"), load_mapping("payments.toml"))
for finding in inspection.findings:
    print(finding.severity, finding.check, finding.columns, finding.what, finding.to_do)
"""

from ingestion.inspection.finding import CHECKS, Chart, Finding, Inspection
from ingestion.inspection.inspection import inspect_snapshot, inspect_table

__all__ = ["CHECKS", "Chart", "Finding", "Inspection", "inspect_snapshot", "inspect_table"]
