"""The newest cases of a tenant are found by an index: the audit of the last charts asks for them.

Revision: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the index."""
    op.create_index("cases_created", "cases", ["tenant_id", "created_at", "case_id"], unique=False)
